"""Clusters around anchors that are drawn afresh for every batch: the paper's Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from simclip.clusters.method import Method
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.clusters.similar_rows import SimilarRows


class Clusters(Method):
    """Algorithm 1 of Liu et al. 2024: a row may come in several batches of an epoch, or in none."""

    once: ClassVar[bool] = False
    lists: ClassVar[bool] = True

    def batches(
        self, recipe: Recipe, neighbours: SimilarRows, iterations: int, seed: int, epoch: int
    ) -> Iterator[np.ndarray]:
        """See `plan_epoch`."""
        return plan_epoch(recipe, neighbours, len(neighbours), iterations, seed, epoch)
