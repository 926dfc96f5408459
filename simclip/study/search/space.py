"""The space that a study's parameters span: its size, its extremes, and what one point of it sets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from simclip.errors import InputError
from simclip.runtime.randomness import generator
from simclip.study.search.coordinates import sets_clusters
from simclip.study.spec.arms import Arm, Arms, varied_fields
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.train.config import CLUSTER_FIELDS

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


def is_plain(study: StudyConfig) -> bool:
    """Whether the whole space is plain fine-tuning: neither the shared fields nor a parameter sets clusters."""
    return study.train.is_control and not any(sets_clusters(*each) for each in study.parameters.items())


def ordinary_parameters(study: StudyConfig) -> dict[str, Parameter]:
    """The parameters that set other fields than those of clusters."""
    return {name: each for name, each in study.parameters.items() if not {*fields_of(name, each)} <= {*CLUSTER_FIELDS}}


def plain_settings(study: StudyConfig) -> int:
    """How many of the settings that a sampling search tries are plain fine-tuning, whatever else it draws.

    A quarter, but at least two, so that plain fine-tuning is tuned as the arms are; one if no ordinary field varies.
    """
    wanted = study.trials or 0
    if is_plain(study):
        return 0
    if all(field in CLUSTER_FIELDS for field in varied_fields(study)):
        return 1
    return max(1, min(max(2, wanted // 4), wanted - 1))


def plain_is_due(plain: int, others: int, wanted_plain: int, wanted: int) -> bool:
    """Whether the next setting is plain fine-tuning, if its share is spread evenly over the search.

    Args:
        plain: Number of plain settings so far.
        others: Number of other settings so far.
        wanted_plain: Number of plain settings of the whole search.
        wanted: Number of all settings of the whole search.
    """
    return plain < wanted_plain and plain * wanted <= (plain + others) * wanted_plain


def corner_arms(study: StudyConfig) -> list[Arm]:
    """The arms at the extremes of the space; all arms of a finite space that is not too large.

    Raises:
        InputError: None of them is a valid training run; says why the first is not.
    """
    arms = Arms(study)
    finite = combinations(study) <= MOST_COMBINATIONS
    ends = [each.choices if finite else each.ends for each in study.parameters.values()]
    corners: Iterable[Sequence[Any]] = itertools.product(*ends)
    if math.prod(map(len, ends)) > MOST_COMBINATIONS:
        draw = generator(study.seeds[0], "corners")
        corners = ([each[draw.integers(len(each))] for each in ends] for _ in range(MOST_COMBINATIONS))
    refused = None
    for values in corners:
        try:
            arms.add(merged(study, values))
        except InputError as error:
            refused = refused or error
    if refused and not any(not arm.is_control for arm in arms):
        raise refused
    return list(arms)
