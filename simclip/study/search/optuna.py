"""The searcher that asks Optuna: its suggestions as arms, and a study's parameters as Optuna's distributions."""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna import distributions
from ray.tune.search.optuna import OptunaSearch

from simclip.study.search.coordinates import coordinates, sets_clusters, varied
from simclip.study.search.searcher import EPOCH, METRIC, Budget, StageSearcher
from simclip.study.spec.arms import MOST_COMBINATIONS, PATIENCE, Arm, Arms, Trial, combinations, corner_arms, merged
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


def optuna_searcher(
    study: StudyConfig,
    storage: Path | None,
    records: Mapping[str, Record] | None = None,
    checkpoints: Mapping[str, Path] | None = None,
    budget: Budget | None = None,
) -> StageSearcher:
    """A searcher for Ray Tune that runs what Optuna suggests, and its controls.

    It ends by itself: give Tune num_samples=-1, and metric and mode nowhere else.

    Args:
        study: A study whose searcher is optuna.
        storage: SQLite file that keeps Optuna's study, for optuna-dashboard; None keeps it in memory.
        records: Of the search's trials that have at least begun in earlier runs.
        checkpoints: By trial name, folders that unfinished trials go on from.
        budget: Asked before each trial; by default there is no limit.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return _ArmSearcher(study, storage, records or {}, checkpoints, budget)


class _ArmSearcher(StageSearcher):
    """Optuna's suggestions as arms: each different arm runs once, its control before it if that is new.

    A suggestion that comes to an arm met before is not run again. Optuna is told that arm's score as soon as there is
    one, which may be at once. A score is the best epoch's, the untouched model apart, as in a study's results. What
    earlier runs of the study have recorded, Optuna is told from the records; its own storage is made anew.
    """

    def __init__(
        self,
        study: StudyConfig,
        storage: Path | None,
        records: Mapping[str, Record],
        checkpoints: Mapping[str, Path] | None,
        budget: Budget | None,
    ) -> None:
        super().__init__(study, checkpoints, budget)
        self._study = study
        self._best = max if study.mode == "max" else min
        self._arms = Arms(study)
        self._most = len(corner_arms(study)) if combinations(study) <= MOST_COMBINATIONS else math.inf
        self._queue: deque[Arm] = deque()
        self._scores: dict[str, float | None] = {}  # by arm, best so far; None: it has none
        self._ended: set[str] = set()  # arms
        self._points: dict[str, dict[str, Any]] = {}  # by arm: what an earlier run's suggestion was
        self._failing: list[Arm] = []  # with an error, which may have been the loss of a process
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)  # by arm: suggestions to be told its score
        self._suggestions = 0
        if storage:
            storage.unlink(missing_ok=True)
        self._optuna = OptunaSearch(
            {name: distribution(each) for name, each in study.parameters.items() if each.size != 1},
            metric=METRIC,
            mode=study.mode,
            # Another seed after a resumption, or the same random start would be suggested again.
            sampler=optuna.samplers.TPESampler(seed=study.seeds[0] + len(records)),
            study_name=study.name,
            storage=optuna.storages.RDBStorage(f"sqlite:///{storage.absolute()}") if storage else None,
        )
        for record in records.values():
            self._remember(record)
        self._found = sum(not arm.is_control for arm in self._arms)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the best epoch, and pass the epoch on to Optuna."""
        arm = self._running[trial_id].arm
        self._keep_best(arm, result)
        for suggestion in self._waiting[arm.name]:
            self._optuna.on_trial_result(suggestion, {METRIC: result[METRIC], "training_iteration": result[EPOCH]})

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna the arm's score, for every suggestion that came to it; of a failed one, when it is final."""
        arm = self._running[trial_id].arm
        super().on_trial_complete(trial_id)
        if result:
            self._keep_best(arm, result)  # the last one comes here alone if a scheduler stopped the trial
        if error:
            self._failing.append(arm)
        else:
            self._settle(arm)

    def again(self, trial: Trial, checkpoint: Path | None) -> None:
        """Run a trial again whose process was lost: it has not failed."""
        super().again(trial, checkpoint)
        self._failing = [arm for arm in self._failing if arm.name != trial.arm.name]

    def _next(self) -> Trial | None:
        for arm in self._failing:  # none of them has been given back
            self._scores[arm.name] = None
            self._settle(arm)
        self._failing = []
        if not self._queue and self._found < (self._study.trials or 0) and len(self._arms) < self._most:
            self._find()
        return Trial(self._queue.popleft(), self._study.seeds[0]) if self._queue else None

    def _remember(self, record: Record) -> None:
        """Take over a trial of an earlier run: what it scored if it has ended; else it is to be run."""
        arm = self._arms.take(record.arm, record.config, record.control)
        point, space = coordinates(self._study, record), varied(self._study)
        # A control is no point of the space, unless the space holds plain fine-tuning too.
        searched = not record.control or any(sets_clusters(name, each) for name, each in space.items())
        if searched and {*point} == {*space}:
            self._points[arm.name] = {name: label(value) for name, value in point.items()}
        if record.outcome is None:
            self._queue.append(arm)
            return
        self._scores[arm.name] = None if record.outcome == "failed" else record.score
        self._settle(arm)

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
            earlier = self._scores.get(arm.name)
            self._scores[arm.name] = value if earlier is None else self._best(value, earlier)

    def _settle(self, arm: Arm) -> None:
        """An arm has its final score: tell Optuna, for all suggestions that came to it, in earlier runs too."""
        self._ended.add(arm.name)
        if point := self._points.pop(arm.name, None):
            score = self._scores.get(arm.name)
            self._optuna.add_evaluated_point(point, score or 0.0, error=score is None)
        for suggestion in self._waiting.pop(arm.name, []):
            self._tell(suggestion, arm)

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
