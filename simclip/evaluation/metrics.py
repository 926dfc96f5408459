"""What evaluation sets measure, by name, and the one figure that is made of it. To know the names takes no torch."""

from __future__ import annotations

from collections.abc import Mapping

from simclip.config.schema import metric_weights

#: Recall is reported at these ranks.
KS = (1, 5, 10, 50, 200)

#: The metrics of each kind of set; in a run they are called <set>/<metric>. To those of pairs come their categories.
METRICS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("mean_r1", *(f"{way}_r{k}" for way in ("t2i", "i2t") for k in KS), "loss"),
    "classification": ("top1", "top5"),
    "pairs": ("accuracy",),
}


def objective(metric: str | Mapping[str, float], scores: Mapping[str, float]) -> float:
    """The one figure that epochs, trials and arms are compared by: a metric, or a weighted mean of several."""
    weights = metric_weights(metric)
    return sum(weight * scores[name] for name, weight in weights.items()) / sum(weights.values())
