"""The space that a study's parameters span: its size, its extremes, and what one point of it sets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from simclip.runtime.randomness import generator
from simclip.study.spec.arms import Arm, Arms
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import settings_of

#: Largest number of combinations that a grid may have, and that is listed in full for other searchers.
MOST_COMBINATIONS = 10_000
#: Number of draws in a row without a new arm after which a search ends early.
PATIENCE = 100


def combinations(study: StudyConfig) -> float:
    """The number of combinations of parameter values; infinite if a range is continuous."""
    return math.prod(math.inf if each.size is None else each.size for each in study.parameters.values())


def merged(study: StudyConfig, values: Sequence[Any]) -> dict[str, Any]:
    """The training fields that one value of each parameter sets."""
    settings: dict[str, Any] = {}
    for name, value in zip(study.parameters, values, strict=True):
        settings |= settings_of(name, value)
    return settings


def corner_arms(study: StudyConfig) -> list[Arm]:
    """The arms at the extremes of the space, controls first; all arms of a finite space that is not too large.

    Raises:
        InputError: Settings that make no valid training run; names the arm.
    """
    arms = Arms(study)
    finite = combinations(study) <= MOST_COMBINATIONS
    ends = [each.choices if finite else each.ends for each in study.parameters.values()]
    corners: Iterable[Sequence[Any]] = itertools.product(*ends)
    if math.prod(map(len, ends)) > MOST_COMBINATIONS:
        draw = generator(study.seeds[0], "corners")
        corners = ([each[draw.integers(len(each))] for each in ends] for _ in range(MOST_COMBINATIONS))
    for values in corners:
        arms.add(merged(study, values))
    return list(arms)
