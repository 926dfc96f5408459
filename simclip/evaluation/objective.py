"""The objective: the one number by which epochs, trials and arms are compared, and which way it is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from simclip.config.schema import metric_weights
from simclip.evaluation.kinds import KINDS

Direction: TypeAlias = Literal["max", "min"]


def objective(metric: str | Mapping[str, float], scores: Mapping[str, float]) -> float:
    """The value of a metric, or the weighted mean of several."""
    weights = metric_weights(metric)
    return sum(weight * scores[name] for name, weight in weights.items()) / sum(weights.values())


def direction(metric: str | Mapping[str, float]) -> Direction | None:
    """Whether larger or smaller values of an objective are better; a negative weight turns a metric round.

    Returns:
        None if no kind of evaluation set declares any of the metrics.

    Raises:
        ValueError: A weighted mean mixes metrics of both directions.
    """
    found: dict[Direction, str] = {}
    for name, weight in metric_weights(metric).items():
        better = _direction(name.rpartition("/")[2])
        if better and weight:
            found.setdefault(better if weight > 0 else "min" if better == "max" else "max", name)
    if len(found) > 1:
        raise ValueError(
            f"{found['min']} is better when smaller and {found['max']} when larger, so that their weighted mean "
            "ranks nothing: give losses a negative weight, or leave them out"
        )
    return next(iter(found), None)


def _direction(measure: str) -> Direction | None:
    if any(measure in kind.losses for kind in KINDS.values()):
        return "min"
    return "max" if any(measure in kind.metrics for kind in KINDS.values()) else None
