"""Pairs of a true and a false caption: does the model tell which one the image shows?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from torch import Tensor


def pair_metrics(
    images: Tensor, captions: Tensor, negatives: Tensor, category: Tensor, names: Sequence[str]
) -> dict[str, float]:
    """Share of rows whose true caption is strictly more similar to the image than the false one, by category.

    As SugarCrepe and ARO score it: a tie is wrong, so that a model that does not tell the captions apart earns nothing,
    and the accuracy over all is the mean over categories, however many rows each has. (clip_benchmark counts a tie as
    right, and ARO leaves out attributes with fewer than 25 rows.) A score that is not a number is wrong.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        captions: float32 [n, d], the true ones, L2-normalised.
        negatives: float32 [n, d], the false ones, L2-normalised.
        category: int64 [n], each row's category, from 0; each has a row.
        names: Of the categories.

    Returns:
        `accuracy`, and the accuracy of each category by its name where there are several; all in [0, 1].
    """
    right = ((images * captions).sum(1) > (images * negatives).sum(1)).double()
    shares = {name: right[category == number].mean().item() for number, name in enumerate(names)}
    scores = {"accuracy": statistics.fmean(shares.values()), **shares}
    return {name: scores[name] for name in pair_metric_names(names)}


def pair_metric_names(categories: Sequence[str]) -> tuple[str, ...]:
    """`accuracy`, and the categories where there are several."""
    return ("accuracy", *(categories if len(categories) > 1 else ()))
