"""How a study is searched: Optuna's suggestions, and ASHA's early stopping."""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna import distributions
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from simclip.config import TrainConfig
from simclip.study.arms import (
    MOST_COMBINATIONS,
    PATIENCE,
    Arm,
    Arms,
    Trial,
    combinations,
    corner_arms,
    merged,
    tune_config,
)
from simclip.study.config import StudyConfig
from simclip.study.space import Parameter

#: What every result reported to Tune holds: the objective after an epoch, and the epochs finished by then, from 0.
METRIC = "metric"
EPOCH = "epoch"


def scheduler(study: StudyConfig, arms: Sequence[Arm]) -> tuple[TrialScheduler | None, str | None]:
    """ASHA if the study wants it and it is fair to the arms.

    As long as p warms up, an arm looks like its control, and a rung before the end of it would rank unfairly.

    Args:
        study: The study.
        arms: Its arms; for Optuna the corner arms.

    Returns:
        The scheduler or None, and a line that says why ASHA is off although it was asked for, or None.
    """
    if study.scheduler == "none":
        return None, None
    warmed = max(arms, key=lambda arm: warm_after(arm.config))
    grace = max(study.asha.grace_period, warm_after(warmed.config))
    shortest, longest = (best(arm.config.epochs for arm in arms) for best in (min, max))
    if 2 * grace > shortest:
        reason = f"p of {warmed.name} still changes" if grace > study.asha.grace_period else "its grace_period lasts"
        return None, f"ASHA is off: {reason} up to epoch {grace} of {shortest}, which leaves less than half to save"
    return _Asha(study, grace, longest), None


def optuna_searcher(study: StudyConfig, storage: Path | None) -> Searcher:
    """A searcher for Ray Tune that runs what Optuna suggests, and its controls.

    It ends by itself: give Tune num_samples=-1, and metric and mode nowhere else.

    Args:
        study: A study whose searcher is optuna.
        storage: SQLite file that keeps Optuna's study, for optuna-dashboard; None keeps it in memory.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return _ArmSearcher(study, storage)


class PlannedTrials(Searcher):
    """A searcher for Ray Tune that runs the trials given, in their order. Give Tune num_samples=-1."""

    def __init__(self, trials: Sequence[Trial]):
        super().__init__()
        self._queue = deque(trials)

    def suggest(self, trial_id: str) -> Any:
        """The next trial, as tune_config has it, or Searcher.FINISHED."""
        return tune_config(self._queue.popleft()) if self._queue else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: no result changes the plan."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study is resumed from its trial records, not from Ray's state."""


class _Asha(ASHAScheduler):
    """ASHA that stops no control, and nothing that has reached its last epoch anyway."""

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
        """Record every result at its rung; the others are measured against controls too."""
        decision = super().on_trial_result(tune_controller, trial, result)
        finished = result[EPOCH] >= trial.config["train"]["epochs"]
        return TrialScheduler.CONTINUE if trial.config["control"] or finished else decision


class _ArmSearcher(Searcher):
    """Optuna's suggestions as arms: each different arm runs once, its control before it if that is new.

    A suggestion that comes to an arm met before is not run again. Optuna is told that arm's score as soon as there is
    one, which may be at once. A score is the best epoch's, the untouched model apart, as in a study's results.
    """

    def __init__(self, study: StudyConfig, storage: Path | None):
        super().__init__(metric=METRIC, mode=study.mode)
        self._study = study
        self._best = max if study.mode == "max" else min
        self._arms = Arms(study)
        self._found = 0
        self._most = len(corner_arms(study)) if combinations(study) <= MOST_COMBINATIONS else math.inf
        self._queue: deque[Arm] = deque()
        self._by_trial: dict[str, Arm] = {}  # Tune's trial id
        self._scores: dict[str, float | None] = {}  # by arm, best so far; None: it has none
        self._ended: set[str] = set()  # arms
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)  # by arm: suggestions to be told its score
        self._suggestions = 0
        self._optuna = OptunaSearch(
            {name: distribution(each) for name, each in study.parameters.items() if each.size != 1},
            metric=METRIC,
            mode=study.mode,
            sampler=optuna.samplers.TPESampler(seed=study.seeds[0]),
            study_name=study.name,
            storage=optuna.storages.RDBStorage(f"sqlite:///{storage.absolute()}") if storage else None,
        )

    def suggest(self, trial_id: str) -> Any:
        """The next trial, as tune_config has it, or Searcher.FINISHED."""
        if not self._queue and self._found < (self._study.trials or 0) and len(self._arms) < self._most:
            self._find()
        if not self._queue:
            return Searcher.FINISHED
        arm = self._by_trial[trial_id] = self._queue.popleft()
        return tune_config(Trial(arm, self._study.seeds[0]))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the best epoch, and pass the epoch on to Optuna."""
        arm = self._by_trial[trial_id]
        self._keep_best(arm, result)
        for suggestion in self._waiting[arm.name]:
            self._optuna.on_trial_result(suggestion, {METRIC: result[METRIC], "training_iteration": result[EPOCH]})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna the arm's score, for every suggestion that came to this arm."""
        arm = self._by_trial[trial_id]
        if result:
            self._keep_best(arm, result)  # the last one comes here alone if a scheduler stopped the trial
        if error:
            self._scores[arm.name] = None
        self._ended.add(arm.name)
        for suggestion in self._waiting.pop(arm.name, []):
            self._tell(suggestion, arm)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study is resumed from its trial records, not from Ray's state."""

    def _find(self) -> None:
        """Ask Optuna until it comes to something new, and queue that; give up when it no longer does."""
        for _ in range(PATIENCE):
            self._suggestions += 1
            suggestion = str(self._suggestions)
            chosen = self._optuna.suggest(suggestion) or {}
            values = [_value(each, chosen.get(name)) for name, each in self._study.parameters.items()]
            known = {arm.name for arm in self._arms}
            control, arm = self._arms.add(merged(self._study, values))
            if arm.name in self._ended:
                self._tell(suggestion, arm)
            else:
                self._waiting[arm.name].append(suggestion)
            self._queue += [each for each in ([arm] if arm is control else [control, arm]) if each.name not in known]
            if self._queue:
                self._found += 1
                return

    def _keep_best(self, arm: Arm, result: dict[str, Any]) -> None:
        value = result.get(METRIC, math.nan)
        if result.get(EPOCH, 0) > 0 and not math.isnan(value):
            self._scores[arm.name] = self._best(value, self._scores.get(arm.name, value))

    def _tell(self, suggestion: str, arm: Arm) -> None:
        score = self._scores.get(arm.name)
        self._optuna.on_trial_complete(suggestion, None if score is None else {METRIC: score}, error=score is None)


def distribution(parameter: Parameter) -> distributions.BaseDistribution:
    """What Optuna chooses a parameter's value from."""
    if parameter.kind == "categorical":
        return distributions.CategoricalDistribution([label(value) for value in parameter.choices])
    log = "log" in parameter.kind
    if parameter.steps is None:
        return distributions.FloatDistribution(*parameter.limits, log=log)
    low, high = parameter.snap(parameter.limits[0]), parameter.snap(parameter.limits[1])
    if log:  # Optuna has no steps on a logarithmic scale
        return distributions.FloatDistribution(low, high, log=True)
    if parameter.whole:
        return distributions.IntDistribution(int(low), int(high), step=int(parameter.q or 1))
    return distributions.FloatDistribution(low, high, step=parameter.q)


def _value(parameter: Parameter, chosen: Any) -> Any:
    """What Optuna chose, as the parameter has it."""
    if parameter.size == 1:
        return parameter.choices[0]
    if parameter.kind == "categorical":
        return next(value for value in parameter.choices if label(value) == chosen)
    return parameter.snap(chosen)


def label(value: Any) -> Any:
    """Optuna's categories are plain values; anything else goes by its text."""
    return value if isinstance(value, bool | int | float | str | None) else json.dumps(value, default=str)


def warm_after(config: TrainConfig) -> int:
    """Epochs finished when the first one on the final p is; 1 where p never changes."""
    schedule = config.proportion_by_epoch
    return 1 + max((epoch for epoch in range(1, len(schedule)) if schedule[epoch] != schedule[epoch - 1]), default=0)
