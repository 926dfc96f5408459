"""Optuna search: a TPE sampler suggests each arm from the scores of the earlier ones, another one each control."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simclip.errors import InputError
from simclip.runtime.randomness import generator
from simclip.study.search.coordinates import coordinates, sets_clusters, varied
from simclip.study.search.searcher import EPOCH, METRIC, BegunTrial, Searcher, TrialSource
from simclip.study.search.space import (
    MOST_COMBINATIONS,
    PATIENCE,
    combinations,
    corner_arms,
    is_plain,
    ordinary_parameters,
    plain_is_due,
    plain_settings,
)
from simclip.study.search.suggestions import Suggestions
from simclip.study.spec.arms import Arm, Arms, Trial, needs_numbers, on_this_machine
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
        """The settings to try, plain fine-tuning included, as far as there are so many."""
        return int(min(study.trials or 0, most_arms(study)))

    def wants_more(self, study: StudyConfig, begun: Mapping[str, BegunTrial]) -> bool:
        """Whether a trial is unfinished or fewer settings than wanted have begun."""
        unfinished = any(each.outcome is None for each in begun.values())
        return unfinished or settled(study, [each.control for each in begun.values()]) < (study.trials or 0)

    def start(
        self, study: StudyConfig, planned: Sequence[Trial], begun: Mapping[str, BegunTrial], folder: Path | None
    ) -> TrialSource:
        """Begin or continue the search; Optuna's own study is rebuilt from the trials that have begun."""
        return OptunaTrials(study, folder / STORAGE if folder else None, begun)


def most_arms(study: StudyConfig) -> float:
    """The number of different arms in the space; infinite if it is continuous or too large to list."""
    return len(corner_arms(study)) if combinations(study) <= MOST_COMBINATIONS else math.inf


def settled(study: StudyConfig, controls: Sequence[bool]) -> int:
    """How many settings of the search are found; controls beyond their share are not counted.

    Args:
        study: The study.
        controls: Whether each arm so far is a control.
    """
    found = sum(controls)
    return len(controls) - found + (found if is_plain(study) else min(found, plain_settings(study)))


class OptunaTrials(TrialSource):
    """Optuna's suggestions as trials: each different arm runs once.

    Plain fine-tuning has its share of the settings (see `plain_settings`), spread evenly, and a sampler of its own over
    the ordinary fields. A score is that of the best trained epoch, as in a study's results. Trials of earlier runs are
    told to Optuna from the records; its storage is rewritten.

    Args:
        study: A study whose searcher is optuna.
        storage: SQLite file for Optuna's studies; None keeps them in memory.
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
        self._arms = Arms(study, needs_numbers(study))
        self._most = most_arms(study)
        self._scores: dict[str, float | None] = {}  # best so far by arm; None: no score
        self._failing: list[Arm] = []  # ended with an error, perhaps for a lost process
        if storage:
            storage.unlink(missing_ok=True)
        # A resumed search gets other seeds, so that the random start is not suggested again.
        seed = study.seeds[0] + len(begun)
        self._all = Suggestions(study, study.parameters, study.name, seed, storage)
        self._plain = self._all
        if not is_plain(study):
            own = int(generator(study.seeds[0], "control sampler", len(begun)).integers(2**31))
            name, parameters = f"{study.name} (plain fine-tuning)", ordinary_parameters(study)
            several = any(each.size != 1 for each in parameters.values())
            self._plain = Suggestions(study, parameters, name, own, storage if several else None)
        for trial in begun.values():
            self._take_over(trial)

    @property
    def _samplers(self) -> list[Suggestions]:
        return list(dict.fromkeys([self._all, self._plain]))

    def epoch_ended(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Keep the best epoch's score and report the epoch to Optuna."""
        self._keep_best(trial.arm, result)
        for sampler in self._samplers:
            sampler.epoch_ended(trial.arm.name, result)

    def trial_ended(self, trial: Trial, result: Mapping[str, Any] | None, failed: bool) -> None:
        """Tell Optuna the arm's score; that of a failed trial once it is known not to run again."""
        if failed:
            self._failing.append(trial.arm)
            return
        if result:
            self.epoch_ended(trial, result)  # a scheduler that stops a trial passes its last result here only
        self._finish(trial.arm, stopped=bool(result and result[EPOCH] < trial.config.epochs))

    def requeued(self, trial: Trial) -> None:
        """Wait for the score of a trial that runs again."""
        self._failing = [arm for arm in self._failing if arm.name != trial.arm.name]

    def next(self) -> Trial | None:
        """The next queued arm, or a new suggestion."""
        for arm in self._failing:  # none of them was requeued
            self._scores[arm.name] = None
            self._finish(arm)
        self._failing = []
        found = settled(self._study, [arm.is_control for arm in self._arms])
        if not self._queue and found < (self._study.trials or 0) and len(self._arms) < self._most:
            self._find()
        return super().next()

    def _take_over(self, trial: BegunTrial) -> None:
        """Take over a trial of an earlier run: its score if it has ended; otherwise it is run."""
        arm = self._arms.take(trial.arm, on_this_machine(self._study, trial.config), trial.control)
        point = coordinates(self._study, trial)
        # A control is a point of the whole space only if the space holds plain fine-tuning too.
        clusters = any(sets_clusters(*each) for each in varied(self._study).items())
        if not trial.control or clusters or is_plain(self._study):
            self._all.take_over(arm.name, point, trial.history)
        if trial.control and self._plain is not self._all:
            self._plain.take_over(arm.name, point, trial.history)
        if trial.outcome is None:
            self._queue.append(Trial(arm, self._study.seeds[0]))
            return
        self._scores[arm.name] = None if trial.outcome == "failed" else trial.score
        self._finish(arm, trial.outcome == "stopped")

    def _find(self) -> None:
        """Queue a new setting: of plain fine-tuning if its share is due, else of the whole space."""
        arms, study = list(self._arms), self._study
        plain = sum(arm.is_control for arm in arms)
        due = plain_is_due(plain, len(arms) - plain, plain_settings(study), study.trials or 0)
        found = self._new(self._plain, self._arms.add_control) if due or is_plain(study) else None
        found = found or self._new(self._all, self._arms.add_arm)
        if found:
            self._queue.append(Trial(found, study.seeds[0]))

    def _new(self, sampler: Suggestions, add: Callable[[dict[str, Any]], Arm | None]) -> Arm | None:
        """Ask Optuna until a suggestion makes a new arm; give up after PATIENCE suggestions."""
        for _ in range(PATIENCE):
            suggestion, settings = sampler.ask()
            before = len(self._arms)
            try:
                arm = add(settings)
            except InputError:
                arm, self.redrawn = None, self.redrawn + 1
            if arm is None:
                sampler.refuse(suggestion)
            else:
                sampler.wait(suggestion, arm.name)
            if arm and len(self._arms) > before:
                return arm
        return None

    def _keep_best(self, arm: Arm, result: Mapping[str, Any]) -> None:
        value = result.get(METRIC, math.nan)
        if result.get(EPOCH, 0) > 0 and not math.isnan(value):
            earlier = self._scores.get(arm.name)
            self._scores[arm.name] = value if earlier is None else self._best(value, earlier)

    def _finish(self, arm: Arm, stopped: bool = False) -> None:
        """Tell Optuna an arm's final score."""
        for sampler in self._samplers:
            sampler.arm_ended(arm.name, self._scores.get(arm.name), stopped)
