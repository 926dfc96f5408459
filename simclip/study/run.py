"""Run the trials of a study under Ray Tune, and keep what they bring."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from simclip.study.arms import Trial, planned_arms, trial_of
from simclip.study.cluster import Cluster, concurrency, placement, worker_resources
from simclip.study.config import StudyConfig, dump
from simclip.study.listeners import Listener
from simclip.study.models import drop_trailing_models, keep_models
from simclip.study.records import Record, read_records, write_atomically
from simclip.study.results import best_arm, hardware, write_results
from simclip.study.search import PlannedTrials, optuna_searcher, scheduler
from simclip.study.trial import Placement, run_trial


@dataclass(frozen=True)
class StudyFolder:
    """Where things lie in a study's results."""

    path: Path

    trials = property(lambda self: self.path / "trials")
    models = property(lambda self: self.path / "models")
    logs = property(lambda self: self.path / "logs")
    tune = property(lambda self: self.path / "tune")
    best = property(lambda self: self.path / "best")
    file = property(lambda self: self.path / "study.yaml")


class Recorder(tune.Callback):
    """Turns Tune's events into records, models kept and dropped, and events for the listeners."""

    def __init__(self, study: StudyConfig, folder: StudyFolder, listeners: Sequence[Listener]) -> None:
        self.study, self.folder, self.listeners = study, folder, listeners
        self.records = read_records(folder.trials)
        self._started: dict[str, float] = {}
        self._histories: dict[str, list[dict[str, Any]]] = {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Remember when, and tell the listeners."""
        this = trial_of(trial.config)
        self._started[this.name] = time.monotonic()
        for listener in self.listeners:
            listener.trial_started(this)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the record of an epoch: its checkpoint, if any, is in its place by now."""
        this = trial_of(trial.config)
        history = self._histories[this.name] = result["history"]
        self._record(this, None).write(self.folder.trials)
        for listener in self.listeners:
            listener.epoch_ended(this, history[-1])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that finished or that the scheduler stopped."""
        this = trial_of(trial.config)
        epochs = self._histories[this.name][-1]["epoch"]
        if trial.checkpoint:
            keep_models(Path(trial.checkpoint.path), self.folder.models / this.name)
        self._end(this, self._record(this, "finished" if epochs == this.config.epochs else "stopped"))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that raised, its traceback into its log."""
        this = trial_of(trial.config)
        text = Path(trial.error_file).read_text() if trial.error_file else "unknown error"
        self.folder.logs.mkdir(parents=True, exist_ok=True)
        with (self.folder.logs / f"{this.name}.log").open("a", encoding="utf-8") as log:
            log.write(text)
        self._end(this, self._record(this, "failed", text.strip().splitlines()[-1]))

    def _record(self, this: Trial, outcome: Any, error: str | None = None) -> Record:
        seconds = time.monotonic() - self._started[this.name]
        history = self._histories.get(this.name, [])
        return Record(this.arm.name, this.seed, this.arm.is_control, this.config, history, outcome, seconds, error)

    def _end(self, this: Trial, record: Record) -> None:
        record.write(self.folder.trials)
        self.records[this.name] = record
        drop_trailing_models(self.folder.models, self.records, self.study.seeds, self.study.keep_models)
        shutil.rmtree(self.folder.tune / this.name, ignore_errors=True)
        for listener in self.listeners:
            listener.trial_ended(this, record)
