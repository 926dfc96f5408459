"""A real Ray on this machine, shared by the tests that want one, and a study of seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from simclip.study.execution.cluster import Cluster, connect
from simclip.study.spec.arms import planned_trials
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.study_file import load_study
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from tests.conftest import write_study


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A local Ray, dashboard included; its workers keep their cache to themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCLIP_CACHE", str(tmp_path_factory.mktemp("ray-cache")))
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
