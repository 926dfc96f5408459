"""The plan of an epoch: the rows of each batch (paper, Algorithm 1).

It is a pure function of (embeddings, p, k, s, seed, epoch).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from simclip.clusters.similar_rows import BLOCK_ANCHORS, SimilarRows
from simclip.config.proportion import clustered_rows
from simclip.errors import ArmError
from simclip.runtime.randomness import generator


@dataclass(frozen=True)
class Recipe:
    """The composition of a batch: N, p, k and s of Algorithm 1."""

    batch_size: int
    proportion: float = 0.0
    cluster_size: int = 1
    neighborhood: int = 1

    @property
    def cluster_sizes(self) -> list[int]:
        """Sizes of a batch's clusters: floor(pN) rows in clusters of k, the remainder in a smaller one.

        A remainder of one row is not a cluster; it joins the independent rows.
        """
        rows = clustered_rows(self.proportion, self.batch_size) if self.cluster_size > 1 else 0
        sizes = [self.cluster_size] * (rows // max(self.cluster_size, 1))
        rest = rows - sum(sizes)
        return [*sizes, rest] if rest > 1 else sizes


class Walk:
    """The independent rows: random permutations of all rows, one after the other.

    A row that is already in the batch stays at the front of the queue for the next batch.
    """

    def __init__(self, rows: int, seed: int, epoch: int) -> None:
        self._rows, self._seed, self._epoch = rows, seed, epoch
        self._waiting: deque[int] = deque()
        self._permutations = 0

    def take(self, count: int, taken: np.ndarray) -> list[int]:
        """Take the next `count` free rows, and mark them in `taken`, bool [rows]."""
        chosen: list[int] = []
        deferred: list[int] = []
        while len(chosen) < count:
            if not self._waiting:
                shuffle = generator(self._seed, "shuffle", self._epoch, self._permutations)
                self._waiting.extend(shuffle.permutation(self._rows).tolist())
                self._permutations += 1
            row = self._waiting.popleft()
            (deferred if taken[row] else chosen).append(row)
            taken[row] = True
        self._waiting.extendleft(reversed(deferred))
        return chosen


def plan_epoch(
    recipe: Recipe, neighbours: SimilarRows | None, rows: int, iterations: int, seed: int, epoch: int
) -> Iterator[np.ndarray]:
    """Plan the batches of an epoch lazily.

    The neighbours of anchors are ranked for several batches at once: first for one, so that training starts early, then
    for more and more.

    Args:
        recipe: Composition of a batch.
        neighbours: Similarities of all rows; may be None if no batch has clusters.
        rows: Number of training rows, at least the batch size.
        iterations: Number of batches.
        seed: Seed of the run.
        epoch: Epoch, counted from 0.

    Yields:
        The rows of a batch, int64 [N]: its clusters, each with its anchor first, then its independent rows.

    Raises:
        ArmError: `max_similarity` leaves an anchor too few neighbours.
    """
    walk = Walk(rows, seed, epoch)
    for batches in _growing(iterations, most=max(1, BLOCK_ANCHORS // (2 + len(recipe.cluster_sizes)))):
        if recipe.cluster_sizes and neighbours is not None:
            firsts = [_first_anchors(recipe, rows, seed, epoch, batch) for batch in batches]
            neighbours.prepare(np.unique(firsts), recipe.neighborhood * (recipe.cluster_size - 1))
        for batch in batches:
            yield plan_batch(recipe, neighbours, rows, walk, seed, epoch, batch)


def plan_batch(
    recipe: Recipe, neighbours: SimilarRows | None, rows: int, walk: Walk, seed: int, epoch: int, batch: int
) -> np.ndarray:
    """Algorithm 1: grow disjoint clusters from random anchors, then fill the batch with independent rows."""
    taken = np.zeros(rows, dtype=bool)
    chosen: list[int] = []
    if neighbours is not None:
        anchors, draw = _anchors(rows, seed, epoch, batch), generator(seed, "members", epoch, batch)
        for size in recipe.cluster_sizes:
            anchor = next(row for row in anchors if not taken[row])
            members = grow(anchor, size, recipe.neighborhood, neighbours, taken, draw)
            taken[[anchor, *members]] = True
            chosen += [anchor, *members]
    chosen += walk.take(recipe.batch_size - len(chosen), taken)
    return np.array(chosen, dtype=np.int64)


def grow(
    anchor: int, size: int, neighborhood: int, neighbours: SimilarRows, taken: np.ndarray, draw: np.random.Generator
) -> list[int]:
    """Draw the other rows of an anchor's cluster from the s(k-1) most similar free rows.

    Raises:
        ArmError: `max_similarity` leaves the anchor too few neighbours.
    """
    nearest = neighbours.nearest(anchor, neighborhood * (size - 1), taken)
    if len(nearest) < size - 1:
        by_similarity = neighbours.limits.startswith("max_similarity")
        remedy = "raise it or lower k" if by_similarity else "loosen it or lower k"
        raise ArmError(
            f"{neighbours.limits} leaves row {anchor} of the training set {len(nearest)} free neighbours, "
            f"a cluster of {size} needs {size - 1}: {remedy}"
        )
    members: list[int] = draw.choice(nearest, size - 1, replace=False).tolist()
    return members


def _growing(count: int, most: int) -> Iterator[range]:
    """Split range(count) into runs of 1, 2, 4, ... numbers, at most `most` each."""
    begin, size = 0, 1
    while begin < count:
        yield range(begin, min(begin + size, count))
        begin, size = begin + size, min(2 * size, most)


def _first_anchors(recipe: Recipe, rows: int, seed: int, epoch: int, batch: int) -> list[int]:
    """The anchors of a batch, and spares for those that will be in an earlier cluster: twice the expected number."""
    clusters = len(recipe.cluster_sizes)
    spare = 2 + clusters * recipe.batch_size // rows
    return list(islice(_anchors(rows, seed, epoch, batch), clusters + spare))


def _anchors(rows: int, seed: int, epoch: int, batch: int) -> Iterator[int]:
    """Uniform draws. Skipping rows that are already in the batch keeps anchors uniform over the others."""
    draw = generator(seed, "anchor", epoch, batch)
    while True:
        yield int(draw.integers(rows))
