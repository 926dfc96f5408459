"""Studies that run on the tests' Ray, watched and struck."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
import ray._private.state

from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.resources import Cluster, resolved
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from simclip.train.history import Row
from simclip.train.loop import Training
from tests.train.histories import without_clocks

Then = Callable[[Trial, Row], None]


class Events(Listener):
    """Keeps what it was told, in its order, and calls back after each epoch."""

    def __init__(self, then: Then = lambda trial, row: None) -> None:
        self.then = then
        self.started: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.confirmed: list[tuple[list[str], dict[str, Record]]] = []

    def confirm_started(self, trials: Sequence[Trial], results: StudyResults) -> None:
        self.confirmed.append(([trial.name for trial in trials], dict(results.records)))

    def trial_started(self, trial: Trial) -> None:
        self.started.append(trial.name)

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        self.epochs.append((trial.name, row["epoch"]))
        self.then(trial, row)

    def trial_ended(self, trial: Trial, record: Record) -> None:
        self.ended.append(trial.name)


def interrupt_at(trial: str, epoch: int) -> Then:
    """Ctrl-C after an epoch."""

    def check(running: Trial, row: Row) -> None:
        if (running.name, row["epoch"]) == (trial, epoch):
            raise KeyboardInterrupt

    return check


def run(study: StudyConfig, cluster: Cluster, folder: Path, listener: Listener, **how: Any) -> StudyEnd:
    """Run a study, whose results lie in a folder of its name there."""
    study, where = resolved(study, cluster), StudyFolder(folder / study.name)
    where.claim(study)
    return run_study(study, RayExecutor(study, cluster, where), where, [listener], **how)


def figures(end: StudyEnd) -> dict[str, list[Row]]:
    """Every history without its clocks."""
    return {name: without_clocks(record.history) for name, record in sorted(end.records.items())}


def alone(config: TrainConfig, folder: Path) -> list[Row]:
    """The history, without its clocks, of the same run outside of any study."""
    return without_clocks(Training(config, folder).run(lambda history, checkpoint: None))


def kill_actors(kind: str) -> None:
    """Kill the processes of all Ray actors of a class. Asks the GCS: Ray's public list of actors needs a dashboard."""
    pids = [
        actor["Pid"]
        for actor in ray._private.state.actors().values()
        if actor["State"] == "ALIVE" and kind in actor["ActorClassName"]
    ]
    assert pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # dead already, which the GCS learns a moment later
            os.kill(pid, signal.SIGKILL)
