"""Runs the trials of a study in this process, one after the other: real training and checkpoints without Ray."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from simclip.study.execution.events import Listener
from simclip.study.execution.recorder import Recorder
from simclip.study.execution.resources import Cluster, Node, resolved
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.execution.trial import Placement, train_trial, tune_result
from simclip.study.search.under_tune import StageSearcher
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import ATTEMPT, StudyFolder
from simclip.train.history import Row

ONE_CPU = Cluster((Node(1),), dashboard=None)


class ProcessLost(Exception):
    """Raised by a listener to act as if the trial's process had been lost."""


class _StoppedEarly(Exception):
    """The scheduler has stopped the trial."""


class InProcess:
    """An executor for tests; see `simclip.study.execution.recorder.Executor`.

    Args:
        folder: Of the study's results, on this machine.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.concurrency = 1
        self.hardware = {"cluster_cpus": 1, "cluster_gpus": 0}
        self._folder = folder
        self._placement = Placement(1, {"CPU": 1.0}, folder.storage)

    def run_stage(self, searcher: StageSearcher, recorder: Recorder, scheduler: TrialScheduler | None) -> None:
        for number in itertools.count():
            job = None if recorder.halted_by else searcher.suggest(str(number))
            if job in (None, Searcher.FINISHED):
                return
            _Attempt(str(number), job, searcher, recorder, scheduler).run(self._placement)


class _Attempt:
    """One trial, from its start or a checkpoint, as Tune would run it and tell searcher, scheduler and recorder of it.

    The scheduler sees itself in place of Tune's controller, which it does not use.
    """

    def __init__(
        self,
        number: str,
        job: dict[str, Any],
        searcher: StageSearcher,
        recorder: Recorder,
        scheduler: TrialScheduler | None,
    ) -> None:
        self.number, self.job = number, job
        self.searcher, self.recorder, self.scheduler = searcher, recorder, scheduler
        self.trial = searcher.trials[job["trial"]]
        self.seen_by_scheduler: Any = SimpleNamespace(trial_id=number, config=job)
        self.last: dict[str, Any] | None = None

    def run(self, placement: Placement) -> None:
        if self.scheduler:
            self.scheduler.on_trial_add(self.scheduler, self.seen_by_scheduler)
        self.recorder.trial_started(self.trial)
        try:
            attempt = f"{self.trial.name}{ATTEMPT}{self.number}"
            train_trial(self.job, placement, attempt, self._report, torch.device("cpu"))
        except _StoppedEarly:
            pass
        except Exception as error:
            self._failed(error)
            return
        self.searcher.on_trial_complete(self.number, self.last)
        self.recorder.trial_finished(self.trial)

    def _report(self, history: list[Row], folder: Path | None) -> None:
        self.last = tune_result(history, "CPU")
        decision = TrialScheduler.CONTINUE
        if self.scheduler:
            decision = self.scheduler.on_trial_result(self.scheduler, self.seen_by_scheduler, self.last)
        if decision == TrialScheduler.CONTINUE:
            self.searcher.on_trial_result(self.number, self.last)
        self.recorder.epoch_ended(self.trial, history, "CPU")
        if decision == TrialScheduler.STOP:
            raise _StoppedEarly

    def _failed(self, error: Exception) -> None:
        self.searcher.on_trial_complete(self.number, error=True)
        if isinstance(error, ProcessLost):
            self.recorder.trial_lost(self.trial, traceback.format_exc())
        else:
            self.recorder.trial_raised(self.trial, error, traceback.format_exc())


def run_here(
    study: StudyConfig, folder: Path, listeners: Sequence[Listener] = (), **how: Any
) -> tuple[StudyEnd, StudyFolder]:
    """Run a study in this process, whose results lie in a folder of its name there."""
    study, where = resolved(study, ONE_CPU), StudyFolder(folder / study.name)
    where.claim(study)
    return run_study(study, InProcess(where), where, listeners, **how), where
