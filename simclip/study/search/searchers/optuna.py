"""Optuna search: a TPE sampler suggests each arm from the scores of the earlier ones."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simclip.study.search.coordinates import coordinates, sets_clusters, varied
from simclip.study.search.searcher import EPOCH, METRIC, BegunTrial, Searcher, TrialSource
from simclip.study.search.space import MOST_COMBINATIONS, PATIENCE, combinations, corner_arms, merged
from simclip.study.spec.arms import Arm, Arms, Trial
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig

#: The file in which Optuna keeps its study, for optuna-dashboard; derived from the records and rewritten by every run.
STORAGE = "optuna.db"


class Optuna(Searcher):
    """Lets Optuna choose each setting from the scores of the earlier ones, on one seed."""

    name = "optuna"
    plans_ahead = False

    def check(self, study: StudyConfig) -> None:
        """Refuse several seeds, beside what every sampling search refuses."""
        if len(study.seeds) > 1:
            raise ValueError(f"seeds: ASHA and Optuna search on one seed; give one, not {len(study.seeds)}")
        super().check(study)

    def planned(self, study: StudyConfig) -> list[Arm]:
        """No arm is known in advance."""
        return []

    def foreseen(self, study: StudyConfig) -> list[Arm]:
        """The arms at the extremes of the space."""
        return corner_arms(study)

    def trial_count(self, study: StudyConfig) -> int:
        """The settings to try, and the controls of the corners; further controls come with ordinary fields."""
        return (study.trials or 0) + sum(arm.is_control for arm in corner_arms(study))

    def wants_more(self, study: StudyConfig, begun: Mapping[str, BegunTrial]) -> bool:
        """Whether a trial is unfinished or fewer settings than wanted have begun."""
        unfinished = any(each.outcome is None for each in begun.values())
        return unfinished or sum(not each.control for each in begun.values()) < (study.trials or 0)

    def start(
        self, study: StudyConfig, planned: Sequence[Trial], begun: Mapping[str, BegunTrial], folder: Path | None
    ) -> TrialSource:
        """Begin or continue the search; Optuna's own study is rebuilt from the trials that have begun."""
        return OptunaTrials(study, folder / STORAGE if folder else None, begun)


class OptunaTrials(TrialSource):
    """Optuna's suggestions as trials: each different arm runs once, its control before it if that is new.

    A suggestion that amounts to an earlier arm is not run again: Optuna is told that arm's score as soon as it is
    known. A score is that of the best trained epoch, as in a study's results. Trials of earlier runs are told to
    Optuna from the records; its storage is rewritten.

    Args:
        study: A study whose searcher is optuna.
        storage: SQLite file for Optuna's study; None keeps it in memory.
        begun: The search's trials that have begun in earlier runs, by name.
    """

    def __init__(
        self, study: StudyConfig, storage: Path | None = None, begun: Mapping[str, BegunTrial] | None = None
    ) -> None:
        import optuna

        super().__init__()
        begun = begun or {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = study
        self._best = max if study.mode == "max" else min
        self._arms = Arms(study)
        self._most = len(corner_arms(study)) if combinations(study) <= MOST_COMBINATIONS else math.inf
        self._scores: dict[str, float | None] = {}  # best so far by arm; None: no score
        self._ended: set[str] = set()  # names of arms
        self._points: dict[str, dict[str, Any]] = {}  # by arm, the suggestion of an earlier run
        self._failing: list[Arm] = []  # ended with an error, perhaps for a lost process
        self._waiting: defaultdict[str, list[Any]] = defaultdict(list)  # by arm, Optuna's trials without a score yet
        if storage:
            storage.unlink(missing_ok=True)
        self._space = {name: distribution(each) for name, each in varied(study).items()}
        self._optuna = optuna.create_study(
            direction="minimize" if study.mode == "min" else "maximize",
            # A resumed search gets another seed, so that the random start is not suggested again.
            sampler=optuna.samplers.TPESampler(seed=study.seeds[0] + len(begun)),
            pruner=optuna.pruners.NopPruner(),
            study_name=study.name,
            storage=optuna.storages.RDBStorage(f"sqlite:///{storage.absolute()}") if storage else None,
        )
        for trial in begun.values():
            self._take_over(trial)
        self._found = sum(not arm.is_control for arm in self._arms)

    def epoch_ended(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Keep the best epoch's score and report the epoch to Optuna."""
        self._keep_best(trial.arm, result)
        for suggestion in self._waiting[trial.arm.name]:
            suggestion.report(result[METRIC], result[EPOCH])

    def trial_ended(self, trial: Trial, result: Mapping[str, Any] | None, failed: bool) -> None:
        """Tell Optuna the arm's score; that of a failed trial once it is known not to run again."""
        if result:
            self._keep_best(trial.arm, result)  # a scheduler that stops a trial passes its last result here only
        if failed:
            self._failing.append(trial.arm)
        else:
            self._finish(trial.arm)

    def requeued(self, trial: Trial) -> None:
        """Wait for the score of a trial that runs again."""
        self._failing = [arm for arm in self._failing if arm.name != trial.arm.name]

    def next(self) -> Trial | None:
        """The next queued arm, or a new suggestion."""
        for arm in self._failing:  # none of them was requeued
            self._scores[arm.name] = None
            self._finish(arm)
        self._failing = []
        if not self._queue and self._found < (self._study.trials or 0) and len(self._arms) < self._most:
            self._find()
        return super().next()

    def _take_over(self, trial: BegunTrial) -> None:
        """Take over a trial of an earlier run: its score if it has ended; otherwise it is run."""
        arm = self._arms.take(trial.arm, trial.config, trial.control)
        point, space = coordinates(self._study, trial), varied(self._study)
        # A control is a point of the space only if the space holds plain fine-tuning too.
        searched = not trial.control or any(sets_clusters(name, each) for name, each in space.items())
        if searched and {*point} == {*space}:
            self._points[arm.name] = {name: label(value) for name, value in point.items()}
        if trial.outcome is None:
            self._queue.append(Trial(arm, self._study.seeds[0]))
            return
        self._scores[arm.name] = None if trial.outcome == "failed" else trial.score
        self._finish(arm)

    def _find(self) -> None:
        """Ask Optuna until a suggestion makes a new arm, and queue that; give up after PATIENCE suggestions."""
        for _ in range(PATIENCE):
            suggestion = self._optuna.ask(fixed_distributions=self._space)
            values = [_value(each, suggestion.params.get(name)) for name, each in self._study.parameters.items()]
            known = {arm.name for arm in self._arms}
            control, arm = self._arms.add(merged(self._study, values))
            if arm.name in self._ended:
                self._tell(suggestion, arm)
            else:
                self._waiting[arm.name].append(suggestion)
            new = [each for each in ([arm] if arm is control else [control, arm]) if each.name not in known]
            self._queue += [Trial(each, self._study.seeds[0]) for each in new]
            if self._queue:
                self._found += 1
                return

    def _keep_best(self, arm: Arm, result: Mapping[str, Any]) -> None:
        value = result.get(METRIC, math.nan)
        if result.get(EPOCH, 0) > 0 and not math.isnan(value):
            earlier = self._scores.get(arm.name)
            self._scores[arm.name] = value if earlier is None else self._best(value, earlier)

    def _finish(self, arm: Arm) -> None:
        """Tell Optuna an arm's final score, for all suggestions that amounted to it, in earlier runs too."""
        from optuna.trial import TrialState, create_trial

        self._ended.add(arm.name)
        if point := self._points.pop(arm.name, None):
            score = self._scores.get(arm.name)
            state = TrialState.FAIL if score is None else TrialState.COMPLETE
            self._optuna.add_trial(create_trial(state=state, value=score, params=point, distributions=self._space))
        for suggestion in self._waiting.pop(arm.name, []):
            self._tell(suggestion, arm)

    def _tell(self, suggestion: Any, arm: Arm) -> None:
        from optuna.trial import TrialState

        score = self._scores.get(arm.name)
        self._optuna.tell(suggestion, score, TrialState.FAIL if score is None else TrialState.COMPLETE)


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
