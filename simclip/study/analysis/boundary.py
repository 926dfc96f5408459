"""Warnings where the best arm of a search has an extreme of the values that were searched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from simclip.config.proportion import clustered_rows
from simclip.study.analysis.results import StudyResults
from simclip.study.search.coordinates import varied
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.study.store.records import Record
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

#: Share of a range, on its own scale, that counts as its end.
MARGIN = 0.05


@dataclass(frozen=True)
class BoundaryWarning:
    """The best arm has an extreme value of a field.

    Attributes:
        field: The training field.
        value: The best arm's value.
        end: The end of the searched values at which it lies.
        text: The warning as a sentence, which says how to extend the search.
    """

    field: str
    value: float
    end: Literal["lower", "upper"]
    text: str


@dataclass(frozen=True)
class _Searched:
    """The values of a field that were searched: a range, or three or more numbers."""

    field: str
    low: float
    high: float
    is_range: bool
    is_log: bool


def boundary_warnings(results: StudyResults) -> list[BoundaryWarning]:
    """Where the search's best arm has an extreme of the searched values, and the field allows values beyond it.

    Only numbers are looked at: ranges, and parameters with three or more values. No values lie beyond a field's own
    bound, beyond clusters of all clustered rows of a batch, and below k = 2, where the control is. If the best arm is a
    control, cluster fields are left out.
    """
    best = results.search_best
    if best is None:
        return []
    record = next(each for each in results.search.values() if each.arm == best.name)
    searched = [
        _searched(name, field, parameter)
        for name, parameter in varied(results.study).items()
        for field in fields_of(name, parameter)
        if not (record.control and field in CLUSTER_FIELDS)
    ]
    found = (_warning(record, each) for each in searched if each)
    return [warning for warning in found if warning]


def _searched(name: str, field: str, parameter: Parameter) -> _Searched | None:
    if parameter.kind != "categorical":
        return _Searched(field, *parameter.limits, True, "log" in parameter.kind)
    values = [settings_of(name, choice)[field] for choice in parameter.choices]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values) or len(set(values)) < 3:
        return None
    return _Searched(field, min(values), max(values), False, False)


def _warning(record: Record, searched: _Searched) -> BoundaryWarning | None:
    field, low, high = searched.field, searched.low, searched.high
    value = getattr(record.config, field)
    scale = math.log if searched.is_log else float
    place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    margin = MARGIN if searched.is_range else 0.0
    end: Literal["lower", "upper"]
    if place <= margin and low > _smallest(field):
        end, direction = "lower", "downwards"
    elif place >= 1 - margin and high < _largest(field, record.config):
        end, direction = "upper", "upwards"
    else:
        return None
    text = (
        f"{field} = {value:g} of the best arm, {record.arm}, lies at the {end} end of what was searched, "
        f"{low:g} to {high:g}: extend it {direction}."
    )
    return BoundaryWarning(field, value, end, text)


def _smallest(field: str) -> float:
    return 2 if field == "cluster_size" else _bound(field, "ge", -math.inf)


def _largest(field: str, config: TrainConfig) -> float:
    if field == "cluster_size":
        return clustered_rows(config.proportion_by_epoch[-1], config.batch_size)
    return _bound(field, "le", math.inf)


def _bound(field: str, kind: Literal["ge", "le"], default: float) -> float:
    """The field's own inclusive bound, or the default if it has none."""
    metadata = TrainConfig.model_fields[field].metadata
    return next((getattr(each, kind) for each in metadata if hasattr(each, kind)), default)
