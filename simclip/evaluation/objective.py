"""The objective: the one number by which epochs, trials and arms are compared."""

from __future__ import annotations

from collections.abc import Mapping

from simclip.config.schema import metric_weights


def objective(metric: str | Mapping[str, float], scores: Mapping[str, float]) -> float:
    """The value of a metric, or the weighted mean of several."""
    weights = metric_weights(metric)
    return sum(weight * scores[name] for name, weight in weights.items()) / sum(weights.values())
