"""What a run leaves behind that is killed between two steps, and the next one deletes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from simclip.study.execution.cluster import Cluster, resolved
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder


def run(study: StudyConfig, cluster: Cluster, folder: StudyFolder) -> StudyEnd:
    study = resolved(study, cluster)
    folder.claim(study)
    return run_study(study, RayExecutor(study, cluster, folder), folder, [])


def files(folder: StudyFolder) -> set[Path]:
    return {path.relative_to(folder.path) for path in folder.path.rglob("*") if path.is_file()}


def test_leftovers_of_ended_trials_go(make_study: Callable[..., StudyConfig], cluster: Cluster, tmp_path: Path) -> None:
    study, folder = make_study(keep_models=1), StudyFolder(tmp_path / "results" / "tiny")
    run(study, cluster, folder)
    whole = files(folder)
    (model,) = (folder.path / layout.MODELS).iterdir()
    trailing = next(path.stem for path in folder.trials.glob("*.jsonl") if path.stem != model.name)
    # Its end was on record, and then the driver was killed.
    shutil.copytree(model, folder.path / layout.MODELS / trailing)
    shutil.copytree(model, folder.path / layout.TUNE / trailing / "checkpoint_000001")
    shutil.copytree(model, folder.path / layout.UNFINISHED / trailing)
    for place in (folder.path, folder.trials):
        (place / ".k2-s1.jsonl.4711.part").write_text("half a li")
    run(study, cluster, folder)
    assert files(folder) == whole
