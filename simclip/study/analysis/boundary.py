"""Whether the best of a search lies at the edge of what was searched."""

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
OUTER = 0.05


@dataclass(frozen=True)
class Edge:
    """The best arm has an extreme value of a parameter.

    Attributes:
        field: The training field.
        value: The arm's.
        end: Of what was searched, the one at which the value lies.
        text: The warning as a sentence, with what to do about it.
    """

    field: str
    value: float
    end: Literal["lower", "upper"]
    text: str


def edges(results: StudyResults) -> list[Edge]:
    """Where the search's best arm has an extreme of what was searched, and there is more beyond it.

    Looked at are numbers: three or more values, or a range. There is nothing beyond a field's own bound, beyond a
    cluster of all of a batch's clustered rows, and below k = 2, where the control is. A control as the best arm says
    nothing of cluster fields.
    """
    best = results.search_best
    if best is None:
        return []
    record = next(each for each in results.search.values() if each.arm == best.name)
    searched = [
        (field, _ends(name, field, parameter), "log" in parameter.kind)
        for name, parameter in varied(results.study).items()
        for field in fields_of(name, parameter)
        if not (record.control and field in CLUSTER_FIELDS)
    ]
    found = (_edge(record, field, *ends, log) for field, ends, log in searched if ends)
    return [edge for edge in found if edge]


def _ends(name: str, field: str, parameter: Parameter) -> tuple[float, float, bool] | None:
    """Of what was searched, and whether it is a range; None of fewer than three values, or of no numbers."""
    if parameter.kind != "categorical":
        return *parameter.limits, True
    values = [settings_of(name, choice)[field] for choice in parameter.choices]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values) or len(set(values)) < 3:
        return None
    return min(values), max(values), False


def _edge(record: Record, field: str, low: float, high: float, in_range: bool, log: bool) -> Edge | None:
    value = getattr(record.config, field)
    scale = math.log if log else float
    place = (scale(value) - scale(low)) / (scale(high) - scale(low))
    margin = OUTER if in_range else 0.0
    if place <= margin and low > _least(field):
        return _warning(record.arm, field, value, "lower", low, high)
    if place >= 1 - margin and high < _most(field, record.config):
        return _warning(record.arm, field, value, "upper", low, high)
    return None


def _least(field: str) -> float:
    return 2 if field == "cluster_size" else _bound(field, "ge", -math.inf)


def _most(field: str, config: TrainConfig) -> float:
    if field == "cluster_size":
        return clustered_rows(config.proportion_by_epoch[-1], config.batch_size)
    return _bound(field, "le", math.inf)


def _bound(field: str, kind: Literal["ge", "le"], default: float) -> float:
    """The bound that a field itself has, if it may be reached."""
    metadata = TrainConfig.model_fields[field].metadata
    return next((getattr(each, kind) for each in metadata if hasattr(each, kind)), default)


def _warning(arm: str, field: str, value: float, end: Literal["lower", "upper"], low: float, high: float) -> Edge:
    way = "downwards" if end == "lower" else "upwards"
    text = (
        f"{field} = {value:g} of the best arm, {arm}, lies at the {end} end of what was searched, "
        f"{low:g} to {high:g}: extend it {way}."
    )
    return Edge(field, value, end, text)
