"""Trials of several workers: what they come to, and that they go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from simclip.study.execution.resources import Cluster
from simclip.study.execution.run import StudyEnd
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import load_study
from simclip.train.history import Row
from tests.conftest import tiny_run, write_study
from tests.study.watched import Events, alone, figures, kill_actors, run

NAME = "k4-p0.5-s1"


@pytest.fixture(scope="module")
def study(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    changes = {"parameters": {"cluster_size": {"value": 4}}, "resources": {"cpus": 0.5, "workers": 2}}
    return load_study(write_study(tiny_run(pairs, tiny_model), path, **changes))


@pytest.fixture(scope="module")
def wanted(study: StudyConfig) -> list[Trial]:
    """The trial with clusters alone: processes take longest to start."""
    return [trial for trial in planned_trials(study) if not trial.arm.is_control]


@pytest.fixture(scope="module")
def whole(
    study: StudyConfig, wanted: list[Trial], cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyEnd, StudyFolder, Events]:
    """The study, undisturbed."""
    folder, seen = tmp_path_factory.mktemp("whole"), Events()
    end = run(study, cluster, folder, seen, trials=wanted)
    return end, StudyFolder(folder / study.name), seen


def test_two_workers_do_as_one_does(whole: tuple[StudyEnd, StudyFolder, Events], tmp_path: Path) -> None:
    end, folder, seen = whole
    assert {record.trial: record.outcome for record in end.records.values()} == {NAME: "finished"}
    assert seen.epochs == [(NAME, epoch) for epoch in (0, 1, 2, 3)]
    assert (folder.path / layout.BEST_MODEL / "model.safetensors").is_file()
    assert not (folder.path / layout.TRAIN).exists()
    # The same plan and the same global batches: the same run but for the order of sums.
    for ours, theirs in zip(figures(end)[NAME], alone(end.records[NAME].config, tmp_path), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.slow
def test_they_go_on_where_a_worker_was_lost(study, wanted, whole, cluster: Cluster, tmp_path: Path) -> None:
    killed: list[str] = []

    def kill(trial: Trial, row: Row) -> None:
        if row["epoch"] == 2 and not killed:
            killed.append(trial.name)
            kill_actors("RayTrainWorker")

    seen = Events(kill)
    end = run(study, cluster, tmp_path, seen, trials=wanted)
    assert killed
    assert [epoch for _, epoch in seen.epochs] == [0, 1, 2, 3]
    assert figures(end) == figures(whole[0])
    assert ray.is_initialized()
