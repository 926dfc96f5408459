"""A survey of clusters: how similar neighbours are, what max_similarity excludes, and examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from simclip.clusters.neighbours import EQUAL, Neighbours
from simclip.clusters.plan import Recipe, grow
from simclip.errors import InputError
from simclip.runtime.randomness import generator

#: Maximum number of surveyed anchors; figures about more rows are estimates.
SAMPLE = 2000
#: Shares of rows for which the survey finds the max_similarity that excludes that many.
SHARES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
#: Number of anchors whose similarities to all rows are in memory at once.
BLOCK = 256


@dataclass(frozen=True)
class Survey:
    """Cosines of a sample of anchors, regardless of max_similarity.

    Attributes:
        anchors: int64 [n], random rows, or all rows if they are few.
        cosines: float32 [n, s(k-1)], cosines of the nearest neighbours, nearest first.
        random: float32 [n], cosine of each anchor and a random row.
        levels: Similarities in decreasing order: 1, those that exclude SHARES of the rows, and the one asked for.
        above: int64 [n, levels], number of rows whose cosine to the anchor is at or above each level.
    """

    anchors: np.ndarray
    cosines: np.ndarray
    random: np.ndarray
    levels: list[float]
    above: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """Cosine of each anchor's nearest neighbour, float32 [n]."""
        return self.cosines[:, 0]

    def left_out(self, max_similarity: float) -> float:
        """Share of rows with a neighbour that max_similarity excludes, in [0, 1]."""
        return float((self.nearest >= max_similarity - EQUAL).mean())


@dataclass(frozen=True, kw_only=True)
class Example:
    """A cluster as an example.

    Attributes:
        anchor: A row.
        members: The other rows, most similar first.
        cosines: Cosine of the anchor and each member.
        excluded: Near rows that max_similarity excludes, most similar first.
        excluded_cosines: Cosine of the anchor and each excluded row.
        looser: Share of surveyed anchors whose neighbours are less similar on average, in [0, 1].
        short: The error that would stop training if max_similarity leaves too few neighbours, else empty.
    """

    anchor: int
    members: list[int]
    cosines: list[float]
    excluded: list[int]
    excluded_cosines: list[float]
    looser: float
    short: str = ""


def survey(embeddings: np.ndarray, recipe: Recipe, max_similarity: float | None, seed: int) -> Survey:
    """Survey the neighbours of many rows.

    Args:
        embeddings: float32 [rows, d], L2-normalised.
        recipe: Its k and s are used.
        max_similarity: An additional level.
        seed: Seed that draws the anchors.

    Raises:
        InputError: There are fewer rows than a neighbourhood needs.
    """
    rows, count = len(embeddings), recipe.neighborhood * (recipe.cluster_size - 1)
    if count >= rows:
        raise InputError(
            f"{rows} rows: too few for the {count} neighbours of an anchor that k = {recipe.cluster_size} and "
            f"s = {recipe.neighborhood} ask for; lower them"
        )
    anchors = np.sort(generator(seed, "survey").permutation(rows)[:SAMPLE])
    others = (anchors + generator(seed, "survey pairs").integers(1, rows, len(anchors))) % rows
    random = (embeddings[anchors] * embeddings[others]).sum(axis=1)
    cosines = torch.cat([scores.topk(count, dim=1).values for scores in _scores(embeddings, anchors)]).numpy()
    at_shares = np.quantile(cosines[:, 0], [1 - share for share in SHARES]).round(3).tolist()
    levels = sorted({1.0, *at_shares, *([max_similarity] if max_similarity is not None else [])}, reverse=True)
    above = [
        torch.stack([(scores >= level - EQUAL).sum(dim=1) for level in levels], dim=1)
        for scores in _scores(embeddings, anchors)
    ]
    return Survey(anchors, cosines, random, levels, torch.cat(above).numpy())


def _scores(embeddings: np.ndarray, anchors: np.ndarray) -> Iterator[torch.Tensor]:
    """Cosines of blocks of anchors with all rows, float32 [block, rows]; -2 with itself."""
    every = torch.from_numpy(embeddings)
    for begin in range(0, len(anchors), BLOCK):
        block = torch.from_numpy(anchors[begin : begin + BLOCK])
        scores = every[block] @ every.T
        scores[torch.arange(len(block)), block] = -2.0
        yield scores


def examples(neighbours: Neighbours, recipe: Recipe, found: Survey, count: int, seed: int) -> list[Example]:
    """Make clusters as training would, from the tightest to the loosest: one from each of `count` equal parts.

    Args:
        neighbours: All rows, with the limits on neighbours.
        recipe: Its k and s are used.
        found: Survey of the same embeddings.
        count: Number of examples, at most the number of surveyed anchors.
        seed: Seed that draws the anchor of each part, and the members.
    """
    size, embeddings = recipe.cluster_size, neighbours.embeddings
    tightness = found.cosines.mean(axis=1)
    order = np.argsort(-tightness, kind="stable")
    edges = np.linspace(0, len(order), count + 1).astype(int)
    draw = generator(seed, "examples")
    positions = [int(draw.integers(low, high)) for low, high in pairwise(edges)]
    whole, free = Neighbours(embeddings), np.zeros(len(embeddings), dtype=bool)
    made = []
    for position in positions:
        anchor, looser = int(found.anchors[order[position]]), 1 - (position + 1) / len(order)
        short = ""
        try:
            members = grow(anchor, size, recipe.neighborhood, neighbours, free, generator(seed, "example", anchor))
        except InputError as error:
            short, members = str(error), neighbours.nearest(anchor, size - 1, free).tolist()
        by_row = dict(zip(members, _cosines(embeddings, anchor, members).tolist(), strict=True))
        ranked = sorted(by_row, key=lambda row: (-by_row[row], row))
        excluded = _excluded(whole, embeddings, anchor, recipe.neighborhood * (size - 1), neighbours.max_similarity)
        made.append(
            Example(
                anchor=anchor,
                members=ranked,
                cosines=[by_row[row] for row in ranked],
                excluded=excluded,
                excluded_cosines=_cosines(embeddings, anchor, excluded).tolist(),
                looser=looser,
                short=short,
            )
        )
    return made


def pairs(embeddings: np.ndarray, found: Survey) -> list[tuple[int, int, float]]:
    """For each level, the surveyed row whose nearest neighbour is closest to it: row, neighbour and cosine.

    A pair of several levels is listed once.
    """
    whole, free = Neighbours(embeddings), np.zeros(len(embeddings), dtype=bool)
    made: dict[frozenset[int], tuple[int, int, float]] = {}
    for level in found.levels:
        anchor = int(found.anchors[np.abs(found.nearest - level).argmin()])
        neighbour = int(whole.nearest(anchor, 1, free)[0])
        cosine = float(_cosines(embeddings, anchor, [neighbour])[0])
        made.setdefault(frozenset((anchor, neighbour)), (anchor, neighbour, cosine))
    return [*made.values()]


def _excluded(
    whole: Neighbours, embeddings: np.ndarray, anchor: int, count: int, max_similarity: float | None
) -> list[int]:
    """The rows at or above max_similarity among the `count` nearest ones."""
    if max_similarity is None:
        return []
    nearest = whole.nearest(anchor, count, np.zeros(len(embeddings), dtype=bool))
    beyond = nearest[_cosines(embeddings, anchor, nearest) >= max_similarity - EQUAL]
    return [int(row) for row in beyond]


def _cosines(embeddings: np.ndarray, anchor: int, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Cosines as in `Neighbours`, float64 [n]."""
    return (embeddings[np.asarray(rows, dtype=np.int64)].astype(np.float64) * embeddings[anchor]).sum(axis=-1)
