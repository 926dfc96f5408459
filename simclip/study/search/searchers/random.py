"""Random search: independent draws from the parameters' distributions."""

from __future__ import annotations

import itertools

from simclip.runtime.randomness import generator
from simclip.study.search.searcher import Searcher
from simclip.study.search.space import PATIENCE, merged
from simclip.study.spec.arms import Arm, Arms
from simclip.study.spec.study import StudyConfig


class Random(Searcher):
    """Draws settings until `trials` different arms are found. A longer search begins with those of a shorter one."""

    name = "random"

    def planned(self, study: StudyConfig) -> list[Arm]:
        """The arms drawn with the study's first seed, and their controls; fewer if new ones no longer turn up."""
        arms = Arms(study)
        found = idle = 0
        for draw in itertools.count():
            if found == study.trials or idle == PATIENCE:
                break
            values = [
                parameter.at(generator(study.seeds[0], f"parameter {name}", draw).random())
                for name, parameter in study.parameters.items()
            ]
            before = len(arms)
            arms.add(merged(study, values))
            found, idle = (found + 1, 0) if len(arms) > before else (found, idle + 1)
        return list(arms)
