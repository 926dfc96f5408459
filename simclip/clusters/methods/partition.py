"""Clusters that share no row: Algorithm 1's neighbourhoods, but a row is taken for the whole epoch."""

from __future__ import annotations

import numpy as np

from simclip.clusters.grouping import Grouping
from simclip.clusters.plan import Recipe
from simclip.clusters.similar_rows import BLOCK_ANCHORS, SimilarRows
from simclip.runtime.randomness import generator

#: Anchors are ranked together as long as their groups take at most this share of the free rows.
SHARE = 1 / 8


class Partition(Grouping):
    """Groups around anchors, in a random order of all rows.

    An anchor that is still free takes k - 1 rows, drawn from its s(k - 1) most similar rows that are free, however far
    these are by then. If the limits on neighbours leave it fewer than k - 1, it stays free for later groups.
    """

    def groups(
        self, recipe: Recipe, neighbours: SimilarRows, wanted: int, key: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """See `Grouping`; stops when all groups are formed that are wanted."""
        size = recipe.cluster_sizes[0]
        width = recipe.neighborhood * (size - 1)
        taken = np.zeros(len(neighbours), dtype=bool)
        waiting = generator(key[0], "anchors", *key[1:]).permutation(len(neighbours))
        groups: list[np.ndarray] = []
        while len(groups) < wanted and len(waiting := waiting[~taken[waiting]]):
            together = int(
                np.clip(SHARE * np.count_nonzero(~taken) / size, 1, min(BLOCK_ANCHORS, wanted - len(groups)))
            )
            anchors, waiting = waiting[:together], waiting[together:]
            neighbours.prepare(anchors, width, ~taken)
            for anchor in anchors.tolist():
                if taken[anchor]:
                    continue
                nearest = neighbours.nearest(anchor, width, taken)
                if len(nearest) >= size - 1:
                    draw = generator(key[0], "members", *key[1:], anchor)
                    groups.append(np.array([anchor, *draw.choice(nearest, size - 1, replace=False)]))
                    taken[groups[-1]] = True
        return groups
