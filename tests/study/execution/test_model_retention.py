"""Which models stay on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from simclip.study.analysis.results import StudyResults
from simclip.study.execution.forecast import models_at_once
from simclip.study.execution.recorder import drop_trailing_models
from simclip.study.execution.run import StudyEnd
from simclip.study.spec.study import Confirm, StudyConfig
from simclip.study.store import layout
from simclip.study.store.storage import Disk
from tests.study.in_process import run_here
from tests.study.made_up import by_name, record

MakeStudy = Callable[..., StudyConfig]
SEARCHED = [record("control", 1, 0, 0.1), record("k4", 1, 0, 0.5), record("k8", 1, 0, 0.01)]


def left(tmp_path: Path, study: StudyConfig, *records: object) -> set[str]:
    """The trials whose models stay of these."""
    named = by_name(*records)
    for name in named:
        (tmp_path / "models" / name / "best").mkdir(parents=True)
    drop_trailing_models(Disk(str(tmp_path)), StudyResults(study, named))
    return {path.name for path in (tmp_path / "models").iterdir()}


def test_models_stay_for_leading_arms_and_for_unsettled_ones(tmp_path: Path) -> None:
    others = [record("control", 2, 0, 0.1), record("k4", 2, 0, 0.5)]
    study = StudyConfig(name="s", seeds=[1, 2], keep_models=1, confirm=Confirm(arms=1, seeds=2))
    assert left(tmp_path, study, *SEARCHED, *others) == {"k4-s1", "k8-s1"}


def test_the_confirm_stages_models_replace_the_searchs_once_it_has_ended(tmp_path: Path) -> None:
    study = StudyConfig(name="s", keep_models=2, confirm=Confirm(arms=1, seeds=2))
    confirmed = [record(arm, seed, 0, 0.1) for seed in (1000, 1001) for arm in ("control", "k4")]
    # Until the last of them has ended, the search's best arm is the study's.
    both = {"control-s1", "k4-s1", "control-s1000", "k4-s1000"}
    assert left(tmp_path / "1", study, *SEARCHED, *confirmed[:3]) == both
    assert left(tmp_path / "2", study, *SEARCHED, *confirmed) == {"control-s1000", "k4-s1000"}
    # An arm that leads and was not confirmed keeps its own.
    study = study.model_copy(update={"keep_models": 3})
    assert left(tmp_path / "3", study, *SEARCHED, *confirmed) == {"control-s1000", "k4-s1000", "k8-s1"}


def test_each_model_is_on_disk_once(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(confirm={"arms": 1, "seeds": 2}, keep_models=1, train={"learning_rate": 0.1, "epochs": 3})
    _, folder = run_here(study, tmp_path)
    files = list(folder.path.rglob("*.safetensors"))
    trials = {path.relative_to(folder.path / layout.MODELS).parts[0] for path in files if layout.MODELS in path.parts}
    assert len({os.stat(path).st_ino for path in files}) == len(trials) == 2  # best/ shares its bytes
    assert {path.parent.name for path in files} == {"best"}
    assert len(trials) <= models_at_once(study, concurrency=1, others=2)


def test_a_model_that_is_gone_is_neither_missed_nor_replaced_by_another(
    make_study: MakeStudy, ended: StudyEnd, tmp_path: Path
) -> None:
    best, results = tmp_path / "tiny" / layout.BEST_MODEL, tmp_path / "tiny" / layout.RESULTS
    shutil.rmtree(tmp_path / "tiny" / layout.MODELS)
    run_here(make_study(), tmp_path)
    assert (best / "model.safetensors").is_file()  # still the best arm's
    content = (tmp_path / "tiny" / layout.BEST).read_text()
    (tmp_path / "tiny" / layout.BEST).write_text(content.replace(json.loads(results.read_text())["best"]["trial"], "x"))
    run_here(make_study(), tmp_path)
    assert not best.exists()


def test_models_of_an_earlier_version_stay_usable(make_study: MakeStudy, ended: StudyEnd, tmp_path: Path) -> None:
    models = tmp_path / "tiny" / layout.MODELS
    for trial in models.iterdir():
        shutil.copytree(trial / "best", trial / "last")
    shutil.rmtree(tmp_path / "tiny" / layout.BEST_MODEL)
    run_here(make_study(), tmp_path)
    assert (tmp_path / "tiny" / layout.BEST_MODEL / "model.safetensors").is_file()


def test_all_models_of_the_confirm_stage_stay_if_they_are_to(tmp_path: Path) -> None:
    study = StudyConfig(name="s", keep_models=1, confirm=Confirm(arms=1, seeds=2, keep_models="all"))
    confirmed = [record(arm, seed, 0, 0.1) for seed in (1000, 1001) for arm in ("control", "k4")]
    assert left(tmp_path, study, *SEARCHED, *confirmed) == {each.trial for each in confirmed}
    assert models_at_once(study, concurrency=1, others=2) == 1 + 4
