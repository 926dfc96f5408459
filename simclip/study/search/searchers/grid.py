"""Grid search: every combination of the parameters' values."""

from __future__ import annotations

import itertools

from simclip.errors import InputError
from simclip.study.search.searcher import Searcher
from simclip.study.search.space import MOST_COMBINATIONS, combinations, merged
from simclip.study.spec.arms import Arm, Arms
from simclip.study.spec.study import StudyConfig


class Grid(Searcher):
    """Runs every combination of the parameters' values once."""

    name = "grid"
    exhaustive = True

    def check(self, study: StudyConfig) -> None:
        """Refuse a number of trials and continuous ranges."""
        if study.trials is not None:
            raise ValueError("trials: a grid runs every combination; drop trials, or set searcher to random or optuna")
        for name, parameter in study.parameters.items():
            if parameter.size is None:
                raise ValueError(
                    f"parameters.{name}: a grid cannot visit a continuous range; give values, or set searcher to "
                    "random or optuna"
                )

    def planned(self, study: StudyConfig) -> list[Arm]:
        """One arm per combination, and a control for every setting of the ordinary fields."""
        if combinations(study) > MOST_COMBINATIONS:
            raise InputError(
                f"parameters: a grid of {combinations(study)} combinations: cut it down, or search by random or optuna"
            )
        arms = Arms(study)
        for values in itertools.product(*(parameter.choices for parameter in study.parameters.values())):
            arms.add(merged(study, values))
        return list(arms)
