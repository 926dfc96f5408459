"""A stage of a study under Ray Tune: its trials as a Tune searcher, and ASHA as a Tune scheduler."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher

from simclip.study.search.asha import first_rung, uses_asha
from simclip.study.search.plan import foreseen_arms
from simclip.study.search.searcher import EPOCH, METRIC, TrialSource
from simclip.study.spec.arms import Trial, tune_config
from simclip.study.spec.study import StudyConfig


class Budget(Protocol):
    """Decides before each trial whether there is room for it."""

    def allows_another(self) -> bool:
        """Whether one more trial may begin."""

    def begin(self, trial: Trial) -> None:
        """A trial begins."""


class StageSearcher(Searcher):
    """Hands the trials of a stage to Tune; a trial whose process was lost can be requeued with its checkpoint.

    Give Tune num_samples=-1: this searcher ends the stage, when no trial is left and none runs that could come back.

    Attributes:
        room: Returns the number of trials that may have been handed out and not ended; by default there is no limit.

    Args:
        study: The study.
        source: The trials.
        checkpoints: Checkpoints from which unfinished trials resume, by trial name.
        budget: Asked before each trial; by default there is no limit.
    """

    def __init__(
        self,
        study: StudyConfig,
        source: TrialSource,
        checkpoints: Mapping[str, Path] | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(metric=METRIC, mode=study.mode)
        self._source = source
        self._checkpoints = dict(checkpoints or {})
        self._budget = budget
        self.room: Callable[[], int] = lambda: sys.maxsize
        self._lost: deque[Trial] = deque()
        self._running: dict[str, Trial] = {}  # by Tune's id
        self.trials: dict[str, Trial] = {}  # every trial suggested so far, by name

    @property
    def redrawn(self) -> int:
        """Number of settings that made no valid training run, so that others were drawn in their place."""
        return self._source.redrawn

    def suggest(self, trial_id: str) -> Any:
        """The next trial as a `tune_config`; None without room or while only running trials are left; else FINISHED."""
        if len(self._running) >= self.room():
            return None
        affordable = self._budget is None or self._budget.allows_another()
        trial = self._lost.popleft() if self._lost else self._source.next() if affordable else None
        if trial is None:
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = self.trials[trial.name] = trial
        if self._budget:
            self._budget.begin(trial)
        checkpoint = self._checkpoints.get(trial.name)
        return tune_config(trial, str(checkpoint) if checkpoint else None)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on the result of an epoch."""
        self._source.epoch_ended(self._running[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on the end of a trial."""
        if trial := self._running.pop(trial_id, None):
            self._source.trial_ended(trial, result, error)

    def again(self, trial: Trial, checkpoint: Path | None) -> None:
        """Requeue a trial whose process was lost, to resume from its checkpoint if there is one."""
        if checkpoint:
            self._checkpoints[trial.name] = checkpoint
        self._lost.append(trial)
        self._source.requeued(trial)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a study resumes from its trial records, not from Ray's state."""


def scheduler(study: StudyConfig) -> TrialScheduler | None:
    """ASHA if the study uses it, otherwise None."""
    if not uses_asha(study):
        return None
    arms = foreseen_arms(study)
    return _Asha(study, first_rung(study, arms), max(arm.config.epochs for arm in arms))


class _Asha(ASHAScheduler):
    """ASHA that never stops a control, nor a trial at its last epoch.

    Args:
        study: The study.
        grace: The epoch of the first rung.
        epochs: Epochs of the longest arm.
    """

    def __init__(self, study: StudyConfig, grace: int, epochs: int):
        super().__init__(
            time_attr=EPOCH,  # training_iteration restarts when a trial does
            metric=METRIC,
            mode=study.mode,
            max_t=epochs,
            grace_period=grace,
            reduction_factor=study.asha.reduction_factor,
            stop_last_trials=False,
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record every result at its rung, since arms are compared with controls too; decide for arms only."""
        decision = super().on_trial_result(tune_controller, trial, result)
        finished = result[EPOCH] >= trial.config["train"]["epochs"]
        return TrialScheduler.CONTINUE if trial.config["control"] or finished else decision
