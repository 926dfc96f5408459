"""Results of data that come with the project, after the project has moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simclip.study.search.plan import planned_trials
from simclip.study.spec import portable_paths as module
from simclip.study.spec.portable_paths import PROJECT, local, portable
from simclip.study.spec.study import StudyConfig
from simclip.study.store import study_file as study_config
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_all
from simclip.study.store.study_file import dump, load_study

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(f"{PROJECT}/a b.tsv") | st.just(str(PROJECT)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(plain)
def test_what_is_made_portable_is_the_same_here(content: Any) -> None:
    assert local(portable(content)) == content


def test_paths_elsewhere_stay() -> None:
    assert portable({"a": ["/data/x.tsv", f"{PROJECT}2/x", 3]}) == {"a": ["/data/x.tsv", f"{PROJECT}2/x", 3]}
    assert portable([f"{PROJECT}/data/x.tsv"]) == ["{project}/data/x.tsv"]


def test_a_study_goes_on_when_the_project_has_moved(
    make_study: Callable[..., StudyConfig], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "tiny.yaml"
    shutil.copytree(pairs, here / "data")
    tables = {"train_tsv": "data/train.tsv", "train_image_dir": "data/images",
              "val_tsv": "data/val.tsv", "val_image_dir": "data/images"}  # fmt: skip
    make_study()
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**content, "train": {**content["train"], **tables}}))

    def moved_to(project: Path) -> StudyConfig:
        for each in (module, study_config):
            monkeypatch.setattr(each, "PROJECT", project)
        return load_study(file)

    folder, study = StudyFolder(tmp_path / "results"), moved_to(here)
    folder.claim(study)
    for trial in planned_trials(study):
        Record.of(trial, []).write(folder.trials)
    assert str(here) not in dump(study)
    here.rename(there)
    study = moved_to(there)
    folder.claim(study)  # not another study
    assert folder.study() == load_study(folder.file) == study
    assert {record.config.train_tsv for record in read_all(folder.trials).values()} == {there / "data" / "train.tsv"}
