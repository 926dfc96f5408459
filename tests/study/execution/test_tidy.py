"""Leftovers of a run that was killed between two steps are deleted by the next run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from simclip.study.execution.run import StudyEnd
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from tests.study.in_process import run_here


def files(folder: StudyFolder) -> set[Path]:
    return {path.relative_to(folder.path) for path in folder.path.rglob("*") if path.is_file()}


def test_leftovers_of_ended_trials_go(make_study: Callable[..., StudyConfig], ended: StudyEnd, tmp_path: Path) -> None:
    study = make_study(keep_models=1)
    _, folder = run_here(study, tmp_path)
    whole = files(folder)
    (model,) = (folder.path / layout.MODELS).iterdir()
    trailing = next(path.stem for path in folder.trials.glob("*.jsonl") if path.stem != model.name)
    # Its end was on record, and then the driver was killed.
    shutil.copytree(model, folder.path / layout.MODELS / trailing)
    shutil.copytree(model, folder.path / layout.TUNE / trailing / "checkpoint_000001")
    shutil.copytree(model, folder.path / layout.UNFINISHED / trailing)
    for place in (folder.path, folder.trials):
        (place / ".k2-s1.jsonl.4711.part").write_text("half a li")
    run_here(study, tmp_path)
    assert files(folder) == whole
