"""Communities of a graph of neighbours: B3, "Breaking the Batch Barrier" (Thirukovalluru et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from simclip.clusters.grouping import Grouping
from simclip.clusters.plan import Recipe
from simclip.clusters.similar_rows import BLOCK_ANCHORS, SimilarRows
from simclip.errors import InputError
from simclip.runtime.randomness import generator

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Maximum number of rows of which a graph is cut; more are halved first.
CELL = 4096
#: Number of times that both halves find their centres anew.
ROUNDS = 5


class Graph(Grouping):
    """Balanced communities of k rows, cut by METIS so that most neighbours stay together.

    Two rows are joined if one is among the first s(k - 1) neighbours of the other, twice as strongly if both are. METIS
    keeps communities only nearly equal, so rows with the fewest ties move from the large ones to the small ones. A row
    that is joined to none, because limits leave out all its neighbours, belongs to no community.
    """

    def check(self, rows: int, batch_size: int, skip_nearest: int) -> None:
        """See `Method`."""
        super().check(rows, batch_size, skip_nearest)
        if find_spec("pymetis") is None:
            raise InputError(
                "batching graph: the package pymetis is missing; install it (pip install pymetis; it needs a C++ "
                "compiler where there is no wheel), or take train.batching=partition"
            )

    def measured_rows(self, rows: int, batch_size: int) -> int:
        """See `Method`."""
        return min(rows, max(CELL, 2 * batch_size))

    def groups(
        self, recipe: Recipe, neighbours: SimilarRows, wanted: int, key: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """See `Grouping`; the communities partition the rows that have neighbours, up to fewer than k in each cell."""
        size = recipe.cluster_sizes[0]
        seed = int(generator(key[0], "graph", *key[1:]).integers(2**31))
        groups: list[np.ndarray] = []
        for rows in cells(neighbours.embeddings, np.arange(len(neighbours)), size, key):
            ties = graph_of(neighbours.part(rows), recipe.neighborhood * (size - 1))
            tied = np.flatnonzero(np.diff(ties.indptr))
            ties, rows = ties[tied][:, tied], rows[tied]
            parts = communities(ties, size, seed)
            groups += [rows[group] for group in evened(parts, ties, neighbours.embeddings[rows], size)]
        return groups


def cells(embeddings: np.ndarray, rows: np.ndarray, size: int, key: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Halve the rows by similarity until no part has more than CELL: the cost of graphs grows with the rows alone.

    As 2-means with halves of equal size (up to a multiple of `size`): a half holds the rows that are closer to its
    centre, compared with the other's.

    Args:
        embeddings: float32 [all rows, d].
        rows: int64 [n], increasing.
        size: k.
        key: Seed, epoch, round and the path from the whole to this part.

    Yields:
        int64, increasing; every row once.
    """
    if len(rows) <= CELL:
        yield rows
        return
    mine, half = embeddings[rows], len(rows) // 2 // size * size
    start = mine[generator(key[0], "cells", *key[1:]).integers(len(rows))]
    axis = start - mine[(mine @ start).argmin()]
    for _ in range(ROUNDS):
        order = np.argsort(-(mine @ axis), kind="stable")
        axis = mine[order[:half]].mean(axis=0) - mine[order[half:]].mean(axis=0)
    for number, part in enumerate((order[:half], order[half:])):
        yield from cells(embeddings, rows[np.sort(part)], size, (*key, number))


def graph_of(neighbours: SimilarRows, width: int) -> csr_matrix:
    """The symmetric graph of the first `width` neighbours: 1 where one row ranks the other, 2 where both do."""
    from scipy.sparse import csr_matrix

    rows, none = len(neighbours), np.zeros(len(neighbours), dtype=bool)
    first: list[np.ndarray] = []
    for begin in range(0, rows, BLOCK_ANCHORS):
        anchors = np.arange(begin, min(begin + BLOCK_ANCHORS, rows))
        neighbours.prepare(anchors, width)
        first += [neighbours.nearest(anchor, width, none) for anchor in anchors.tolist()]
    ends = np.repeat(np.arange(rows), [len(each) for each in first])
    ranked = csr_matrix((np.ones(len(ends), dtype=np.int32), (ends, np.concatenate(first))), shape=(rows, rows))
    return (ranked + ranked.T).tocsr()


def communities(ties: csr_matrix, size: int, seed: int) -> np.ndarray:
    """Cut the graph into floor(rows / size) nearly equal communities with METIS; returns their numbers, int64 [rows].

    By recursive bisection, which cut less than METIS's direct way where it was measured. Equal on every run with the
    same build of METIS.
    """
    import pymetis

    parts = ties.shape[0] // size
    if parts < 2:
        return np.zeros(ties.shape[0], dtype=np.int64)
    graph = pymetis.CSRAdjacency(adj_starts=ties.indptr, adjacent=ties.indices)
    options = pymetis.Options(seed=seed)
    _, found = pymetis.part_graph(parts, adjacency=graph, eweights=ties.data, recursive=True, options=options)
    return np.asarray(found, dtype=np.int64)


def evened(parts: np.ndarray, ties: csr_matrix, embeddings: np.ndarray, size: int) -> list[np.ndarray]:
    """Communities of exactly `size` rows, floor(rows / size) of them; a remainder of rows belongs to none.

    Of a community that is too large the rows with the fewest ties to it leave; one that is too small takes, in turn,
    the row of these that is most similar to its mean. Equal ones go by the lower row.
    """
    count = len(parts) // size
    if not count:
        return []
    edges = ties.tocoo()
    within = np.bincount(edges.row, edges.data * (parts[edges.row] == parts[edges.col]), minlength=len(parts))
    order = np.lexsort((np.arange(len(parts)), -within, parts))
    groups = np.split(order, np.searchsorted(parts[order], np.arange(1, count)))
    spare = np.sort(np.concatenate([group[size:] for group in groups]))
    groups = [group[:size] for group in groups]
    for place, group in enumerate(groups):
        while len(group) < size:
            mean = embeddings[group].mean(axis=0) if len(group) else embeddings[spare[0]]
            chosen = int((embeddings[spare] @ mean).argmax())
            group, spare = np.append(group, spare[chosen]), np.delete(spare, chosen)
        groups[place] = group
    return groups
