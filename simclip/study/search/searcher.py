"""What Tune asks for the next trial of a stage: planned ones in their order, or lost ones again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ray.tune.search import Searcher

from simclip.study.spec.arms import Trial, tune_config
from simclip.study.spec.study import StudyConfig

#: What every result reported to Tune holds: the objective after an epoch, and the epochs finished by then, from 0.
METRIC = "metric"
EPOCH = "epoch"


class Budget(Protocol):
    """Decides before each trial whether there is room for it."""

    def allows_another(self) -> bool:
        """Whether one more trial may begin."""

    def begin(self, trial: Trial) -> None:
        """A trial begins."""


class StageSearcher(Searcher):
    """A searcher that can be given a trial back whose process was lost, to go on with from a checkpoint.

    Give Tune num_samples=-1: the searcher ends the stage, when nothing is left and no trial runs that could come back.
    """

    def __init__(
        self, study: StudyConfig, checkpoints: Mapping[str, Path] | None = None, budget: Budget | None = None
    ) -> None:
        """Begin a stage.

        Args:
            study: The study.
            checkpoints: By trial name, folders that unfinished trials go on from.
            budget: Asked before each trial; by default there is no limit.
        """
        super().__init__(metric=METRIC, mode=study.mode)
        self._checkpoints = dict(checkpoints or {})
        self._budget = budget
        self._lost: deque[Trial] = deque()
        self._running: dict[str, Trial] = {}  # by Tune's id
        self.trials: dict[str, Trial] = {}  # every trial suggested so far, by name

    def suggest(self, trial_id: str) -> Any:
        """The next trial, as tune_config has it; None while others run; or Searcher.FINISHED."""
        affordable = self._budget is None or self._budget.allows_another()
        trial = self._lost.popleft() if self._lost else self._next() if affordable else None
        if trial is None:
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = self.trials[trial.name] = trial
        if self._budget:
            self._budget.begin(trial)
        checkpoint = self._checkpoints.get(trial.name)
        return tune_config(trial, str(checkpoint) if checkpoint else None)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """It no longer runs."""
        self._running.pop(trial_id, None)

    def again(self, trial: Trial, checkpoint: Path | None) -> None:
        """Run a trial again whose process was lost, from its checkpoint if there is one."""
        if checkpoint:
            self._checkpoints[trial.name] = checkpoint
        self._lost.append(trial)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study is resumed from its trial records, not from Ray's state."""

    def _next(self) -> Trial | None:
        """The next trial that this searcher wants, or None."""
        raise NotImplementedError


class PlannedTrials(StageSearcher):
    """Runs the trials given, in their order."""

    def __init__(
        self,
        study: StudyConfig,
        trials: Sequence[Trial],
        checkpoints: Mapping[str, Path] | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(study, checkpoints, budget)
        self._queue = deque(trials)

    def _next(self) -> Trial | None:
        return self._queue.popleft() if self._queue else None
