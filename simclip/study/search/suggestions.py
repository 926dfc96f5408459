"""Optuna's suggestions from a space of parameters, and the scores that it is told."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simclip.study.search.searcher import EPOCH, METRIC
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import settings_of


class Suggestions:
    """A TPE sampler of Optuna over some of a study's parameters.

    A suggestion that amounts to an earlier arm is told that arm's score as soon as it is known. An arm that was stopped
    early counts as pruned, with its last value: Optuna ranks it behind the arms that finished.

    Args:
        study: The study.
        parameters: What is searched.
        name: Name of Optuna's study.
        seed: Seed of the sampler.
        storage: SQLite file for Optuna's study; None keeps it in memory.
    """

    def __init__(
        self, study: StudyConfig, parameters: Mapping[str, Parameter], name: str, seed: int, storage: Path | None
    ) -> None:
        import optuna

        self._parameters = parameters
        self._space = {name: distribution(each) for name, each in parameters.items() if each.size != 1}
        self._waiting: defaultdict[str, list[Any]] = defaultdict(list)  # by arm, Optuna's trials without a score yet
        self._points: dict[str, dict[str, Any]] = {}  # by arm, the suggestion of an earlier run
        self._curves: defaultdict[str, dict[int, float]] = defaultdict(dict)  # by arm and epoch, the objective
        self._ends: dict[str, tuple[Any, float | None]] = {}  # by arm, Optuna's state and value
        self._optuna = optuna.create_study(
            direction="minimize" if study.mode == "min" else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.NopPruner(),
            study_name=name,
            storage=optuna.storages.RDBStorage(f"sqlite:///{storage.absolute()}") if storage else None,
        )

    def ask(self) -> tuple[Any, dict[str, Any]]:
        """A suggestion of Optuna's, and the training fields that it sets."""
        suggestion = self._optuna.ask(fixed_distributions=self._space)
        settings: dict[str, Any] = {}
        for name, each in self._parameters.items():
            settings |= settings_of(name, _value(each, suggestion.params.get(name)))
        return suggestion, settings

    def wait(self, suggestion: Any, arm: str) -> None:
        """Tell a suggestion what is known of its arm, and the rest as it comes."""
        for epoch, metric in self._curves[arm].items():
            suggestion.report(metric, epoch)
        if arm in self._ends:
            self._tell(suggestion, *self._ends[arm])
        else:
            self._waiting[arm].append(suggestion)

    def refuse(self, suggestion: Any) -> None:
        """Tell Optuna that a suggestion is not run: it ranks behind all scores, so that its like is suggested less."""
        from optuna.trial import TrialState

        self._optuna.tell(suggestion, state=TrialState.PRUNED)

    def take_over(self, arm: str, point: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        """Take over an arm of an earlier run, unless it does not lie in the space.

        Args:
            arm: Its name.
            point: Its place in the space.
            history: The results of its epochs so far.
        """
        self._curves[arm] = {row[EPOCH]: row[METRIC] for row in history}
        if {*point} >= {*self._space}:
            self._points[arm] = {name: label(point[name]) for name in self._space}

    def epoch_ended(self, arm: str, result: Mapping[str, Any]) -> None:
        """Report the epoch of an arm to Optuna, once."""
        if result[EPOCH] not in self._curves[arm]:
            self._curves[arm][result[EPOCH]] = result[METRIC]
            for suggestion in self._waiting[arm]:
                suggestion.report(result[METRIC], result[EPOCH])

    def arm_ended(self, arm: str, score: float | None, stopped: bool) -> None:
        """Tell Optuna how an arm ended, for all suggestions that amounted to it, in earlier runs too.

        Args:
            arm: Its name.
            score: Its objective at its best epoch; None if it has none.
            stopped: Whether it was stopped early.
        """
        from optuna.trial import TrialState, create_trial

        state = TrialState.FAIL if score is None else TrialState.PRUNED if stopped else TrialState.COMPLETE
        curve = self._curves[arm]
        last = curve[max(curve)] if curve else math.nan
        value = score if state != TrialState.PRUNED else None if math.isnan(last) else last
        self._ends[arm] = state, value
        if point := self._points.pop(arm, None):
            trial = create_trial(
                state=state, value=value, params=point, distributions=self._space, intermediate_values=curve
            )
            self._optuna.add_trial(trial)
        for suggestion in self._waiting.pop(arm, []):
            self._tell(suggestion, state, value)

    def _tell(self, suggestion: Any, state: Any, value: float | None) -> None:
        """Tell Optuna how a suggestion ended; the value of a pruned one is the last that was reported."""
        from optuna.trial import TrialState

        self._optuna.tell(suggestion, value if state == TrialState.COMPLETE else None, state)


def distribution(parameter: Parameter) -> Any:
    """The Optuna distribution (`optuna.distributions.BaseDistribution`) of a parameter."""
    from optuna import distributions

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
    """The parameter's own value for Optuna's choice."""
    if parameter.size == 1:
        return parameter.choices[0]
    if parameter.kind == "categorical":
        return next(value for value in parameter.choices if label(value) == chosen)
    return parameter.snap(chosen)


def label(value: Any) -> Any:
    """A value as an Optuna category: plain values as they are, anything else as JSON text."""
    return value if isinstance(value, bool | int | float | str | None) else json.dumps(value, default=str)
