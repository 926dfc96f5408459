"""What clusters of some data are like: how similar neighbours are, what a max_similarity leaves out, some examples."""

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

#: Anchors that are surveyed, at most; figures about more rows are estimates from these.
SAMPLE = 2000
#: Shares of rows; the survey tells which max_similarity leaves out so many.
SHARES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
#: Anchors whose similarities to all rows are held at once.
BLOCK = 256


@dataclass(frozen=True)
class Survey:
    """Cosines of a sample of anchors; none of them knows of a max_similarity.

    Attributes:
        anchors: int64 [n], rows drawn at random; all of them where there are few.
        cosines: float32 [n, s(k-1)], of their nearest neighbours, the nearest first.
        random: float32 [n], of each anchor and a row drawn at random.
        levels: Similarities, falling: 1, those that leave out the shares of rows above, and the one asked about.
        above: int64 [n, levels], rows whose cosine to the anchor is at or above each level.
    """

    anchors: np.ndarray
    cosines: np.ndarray
    random: np.ndarray
    levels: list[float]
    above: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """float32 [n], the cosine of each anchor's nearest neighbour."""
        return self.cosines[:, 0]

    def left_out(self, max_similarity: float) -> float:
        """The share of rows that max_similarity keeps out of some cluster: those that have another row so similar."""
        return float((self.nearest >= max_similarity - EQUAL).mean())


@dataclass(frozen=True)
class Example:
    """One cluster.

    Attributes:
        anchor: A row.
        members: Its other rows, the most similar first.
        cosines: Of the anchor and each of them.
        excluded: Rows that max_similarity keeps out of it though they are nearer than a member, the most similar first.
        excluded_cosines: Theirs.
        looser: The share of surveyed anchors whose neighbours are less similar on average.
        short: What is wrong where max_similarity leaves too few neighbours; training would stop.
    """

    anchor: int
    members: list[int]
    cosines: list[float]
    excluded: list[int]
    excluded_cosines: list[float]
    looser: float
    short: str = ""


def survey(embeddings: np.ndarray, recipe: Recipe, max_similarity: float | None, seed: int) -> Survey:
    """Look at the neighbours of many rows.

    Args:
        embeddings: float32 [rows, d], rows of length 1.
        recipe: Its k and s count.
        max_similarity: One more level.
        seed: Of the anchors.

    Raises:
        InputError: There are fewer rows than a neighbourhood has.
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
    """float32 [block, rows], the cosines of all rows with each anchor; -2 with itself."""
    every = torch.from_numpy(embeddings)
    for begin in range(0, len(anchors), BLOCK):
        block = torch.from_numpy(anchors[begin : begin + BLOCK])
        scores = every[block] @ every.T
        scores[torch.arange(len(block)), block] = -2.0
        yield scores


def examples(
    embeddings: np.ndarray, recipe: Recipe, found: Survey, max_similarity: float | None, count: int, seed: int
) -> list[Example]:
    """Clusters as training would grow them, from the tightest to the loosest: one of each of `count` equal parts.

    Args:
        embeddings: float32 [rows, d].
        recipe: Its k and s count.
        found: Of these embeddings.
        max_similarity: Rows at or above it are no neighbours.
        count: Of examples, at most as many as anchors.
        seed: Of which anchor stands for its part, and which neighbours are drawn.
    """
    size = recipe.cluster_size
    tightness = found.cosines.mean(axis=1)
    order = np.argsort(-tightness, kind="stable")
    edges = np.linspace(0, len(order), count + 1).astype(int)
    draw = generator(seed, "examples")
    places = [int(draw.integers(low, high)) for low, high in pairwise(edges)]
    neighbours, free = Neighbours(embeddings, max_similarity), np.zeros(len(embeddings), dtype=bool)
    whole = Neighbours(embeddings)
    made = []
    for place in places:
        anchor, looser = int(found.anchors[order[place]]), 1 - (place + 1) / len(order)
        short = ""
        try:
            members = grow(anchor, size, recipe.neighborhood, neighbours, free, generator(seed, "example", anchor))
        except InputError as error:
            short, members = str(error), neighbours.nearest(anchor, size - 1, free).tolist()
        by_row = dict(zip(members, _cosines(embeddings, anchor, members).tolist(), strict=True))
        ranked = sorted(by_row, key=lambda row: (-by_row[row], row))
        excluded = _excluded(whole, embeddings, anchor, recipe.neighborhood * (size - 1), max_similarity)
        made.append(
            Example(anchor, ranked, [by_row[row] for row in ranked], excluded,
                    _cosines(embeddings, anchor, excluded).tolist(), looser, short)
        )  # fmt: skip
    return made


def pairs(embeddings: np.ndarray, found: Survey) -> list[tuple[int, int, float]]:
    """For each level the surveyed row whose nearest neighbour is closest to it: row, neighbour and their cosine.

    A pair that two levels would share stands once.
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
    """Those of the `count` nearest rows that are at or above max_similarity."""
    if max_similarity is None:
        return []
    nearest = whole.nearest(anchor, count, np.zeros(len(embeddings), dtype=bool))
    beyond = nearest[_cosines(embeddings, anchor, nearest) >= max_similarity - EQUAL]
    return [int(row) for row in beyond]


def _cosines(embeddings: np.ndarray, anchor: int, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """float64 [n], as `Neighbours` ranks them."""
    return (embeddings[np.asarray(rows, dtype=np.int64)].astype(np.float64) * embeddings[anchor]).sum(axis=-1)
