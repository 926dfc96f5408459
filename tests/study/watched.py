"""Studies that run on the tests' Ray, watched and struck."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.state import list_actors

from simclip.history import Row
from simclip.study.arms import Trial
from simclip.study.cluster import Cluster, resolved
from simclip.study.config import StudyConfig
from simclip.study.folder import StudyFolder
from simclip.study.listeners import Listener
from simclip.study.records import Record
from simclip.study.run import StudyEnd, run_study


class Epochs(Listener):
    """Keeps what ran, and calls back after each epoch."""

    def __init__(self, then: Callable[[Trial, Row], None] = lambda trial, row: None) -> None:
        self.then = then
        self.seen: list[tuple[str, int]] = []
        self.ended: list[str] = []

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        self.seen.append((trial.name, row["epoch"]))
        self.then(trial, row)

    def trial_ended(self, trial: Trial, record: Record) -> None:
        self.ended.append(trial.name)


def run(study: StudyConfig, cluster: Cluster, folder: Path, listener: Listener, **how: Any) -> StudyEnd:
    study, where = resolved(study, cluster), StudyFolder(folder / study.name)
    where.claim(study)
    return run_study(study, cluster, where, [listener], **how)


def figures(end: StudyEnd) -> dict[str, list[Row]]:
    """Every history without its clocks."""
    return {name: without_clocks(record.history) for name, record in sorted(end.records.items())}


def without_clocks(history: list[Row]) -> list[Row]:
    """What is the same in every run of a trial."""
    clocks = ("seconds", "pairs_per_second")
    return [{k: v for k, v in row.items() if k not in clocks and not k.startswith("share/")} for row in history]


def kill_actors(kind: str) -> None:
    actors = list_actors(address=ray.get_runtime_context().gcs_address, filters=[("state", "=", "ALIVE")])
    pids = [actor.pid for actor in actors if kind in actor.class_name]
    assert pids, [actor.class_name for actor in actors]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
