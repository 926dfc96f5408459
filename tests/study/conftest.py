"""A real Ray on this machine, shared by the tests that want one, and a study of seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import ray_constants

from simclip.study.execution.cluster import connect
from simclip.study.execution.resources import Cluster
from simclip.study.execution.run import StudyEnd
from simclip.study.search.plan import planned_trials
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from tests.conftest import tiny_run, write_study
from tests.study.in_process import run_here


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A local Ray without a dashboard that other processes can join, whose workers have a cache of their own."""
    init = ray.init

    def start(**how: Any) -> Any:
        ray_constants.ENABLE_RAY_CLUSTER = (
            True  # execution/test_loopback.py starts a Ray that is as private as a study's
        )
        return init(**{**how, "include_dashboard": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCLIP_CACHE", str(tmp_path_factory.mktemp("ray-cache")))
        patch.setattr(ray, "init", start)
        yield connect("local")
    ray.shutdown()


@pytest.fixture
def make_study(config: TrainConfig, tmp_path: Path) -> Callable[..., StudyConfig]:
    """Writes a study file of two cluster sizes over the tiny pairs, with changes, and loads it."""

    def make(**changes: Any) -> StudyConfig:
        train = {"epochs": 2, **changes.pop("train", {})}
        return load_study(write_study(config, tmp_path / "tiny.yaml", train=train, **changes))

    return make


@pytest.fixture(scope="session")
def finished_study(
    pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyEnd, StudyFolder]:
    """The study of `make_study` without changes, run to its end once; tests copy its folder."""
    folder = tmp_path_factory.mktemp("finished")
    file = write_study(tiny_run(pairs, tiny_model), folder / "tiny.yaml", train={"epochs": 2})
    return run_here(load_study(file), folder)


@pytest.fixture
def ended(finished_study: tuple[StudyEnd, StudyFolder], tmp_path: Path) -> StudyEnd:
    """The end of the finished study, a copy of whose results is in the test's own folder."""
    end, folder = finished_study
    shutil.copytree(folder.path, tmp_path / folder.path.name)
    return end


@pytest.fixture(scope="session")
def untrained() -> Callable[..., dict[str, Record]]:
    """Records of a planned search without a training: curve(config) gives the metric after each epoch from 1."""

    def records(study: StudyConfig, curve: Callable[[TrainConfig], list[float]]) -> dict[str, Record]:
        made = {}
        for trial in planned_trials(study):
            metrics = [0.0, *curve(trial.config)]
            history = [{"epoch": epoch, "metric": metric} for epoch, metric in enumerate(metrics)]
            made[trial.name] = Record.of(trial, history, outcome="finished", seconds=3600.0)
        return made

    return records
