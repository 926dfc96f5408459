"""Exact nearest neighbours by cosine: candidates from fast products, ranked as in fp64, ties to the lower row.

The result does not depend on how the candidates were found: those that fp32 cannot tell apart are ranked in fp64, a
list ends where a row outside of it could rank, and queries beyond the end of a list are answered from all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from simclip.clusters.margin import Margin
from simclip.clusters.similar_rows import BLOCK_ANCHORS, ROUNDING

#: Upper bound on the error of a bf16 product: 2**-8 for its factors and 2**-9 for the result, rounded up.
BF16_ROUNDING = 6.5e-3
#: Upper bound on the distance from 1 of the cosine of two equal unit vectors, rounded to fp32.
EQUAL = 1e-6
#: Number of extra candidates, because some rows may already be in the batch.
SLACK = 64
#: Maximum number of scores, and of elements of candidates' embeddings, in memory at once.
BLOCK_ELEMENTS, RANKED_ELEMENTS = 2**26, 2**18
#: Number of rows up to which bf16 saves no time.
FEW_ROWS = 8192


class Neighbours:
    """Rows in the order of their similarity to an anchor.

    Args:
        embeddings: float32 [rows, d], L2-normalised; they stay on the host.
        max_similarity: Two rows at or above this cosine (to six decimals) are not neighbours: likely near-duplicates,
            which would be false negatives.
        device: Device of the products; a CUDA card holds a copy of the embeddings, in fp32.
        skip_nearest: r; the r most similar of all other rows are no neighbours either.
        margin: A further limit, by the similarities of images and captions.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        max_similarity: float | None = None,
        device: torch.device | None = None,
        *,
        skip_nearest: int = 0,
        margin: Margin | None = None,
    ) -> None:
        self.embeddings = embeddings
        self.max_similarity, self.skip_nearest, self.margin = max_similarity, skip_nearest, margin
        self._exact = torch.from_numpy(embeddings).to(device or "cpu")
        # Of its own, so that ranking waits for no training step on the card.
        self._stream = torch.cuda.Stream(device) if self._exact.is_cuda else None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # which copies the embeddings
        self._ranked: dict[int, np.ndarray] = {}
        self._among: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def limits(self) -> str:
        """See `SimilarRows`."""
        skip, margin = self.skip_nearest or None, self.margin.share if self.margin else None
        given = {"max_similarity": self.max_similarity, "skip_nearest": skip, "relative_margin": margin}
        return " with ".join(f"{name} {value}" for name, value in given.items() if value is not None)

    def part(self, rows: np.ndarray) -> Neighbours:
        """Neighbours among some of the rows, which are numbered anew in their order."""
        margin = self.margin.part(rows) if self.margin else None
        return Neighbours(
            self.embeddings[rows],
            self.max_similarity,
            self._exact.device,
            skip_nearest=self.skip_nearest,
            margin=margin,
        )

    def prepare(self, anchors: np.ndarray, count: int, free: np.ndarray | None = None) -> None:
        """See `SimilarRows`."""
        self._ranked, self._among = {}, None if free is None else np.flatnonzero(free)
        if self.skip_nearest and free is not None:
            self._without_limits.prepare(anchors, self.skip_nearest)
        fast, rounding = self._fast
        self._rank_anchors(anchors, count, fast, rounding)
        if rounding > ROUNDING:
            short = [anchor for anchor, ranked in self._ranked.items() if len(ranked) < count]
            self._rank_anchors(np.array(short, dtype=np.int64), count, self._exact, ROUNDING)

    def lists(self, count: int) -> np.ndarray:
        """The first neighbours of every row, int32 [rows, count + SLACK], padded with -1."""
        table = np.full((len(self), count + SLACK), -1, dtype=np.int32)
        for anchors in _blocks(np.arange(len(self)), BLOCK_ANCHORS):
            self.prepare(anchors, count)
            for anchor, ranked in self._ranked.items():
                table[anchor, : min(len(ranked), table.shape[1])] = ranked[: table.shape[1]]
        return table

    def nearest(self, anchor: int, count: int, taken: np.ndarray) -> np.ndarray:
        """See `SimilarRows`."""
        prepared = self._ranked.get(anchor)
        if prepared is not None:
            free = prepared[~taken[prepared]]
            if len(free) >= count:
                return free[:count]
        return self._among_all(anchor, count, taken)

    @cached_property
    def _fast(self) -> tuple[torch.Tensor, float]:
        """The embeddings for the fast products, and an upper bound on the error of these."""
        on_cpu = self._exact.device.type == "cpu"
        if on_cpu and len(self) > FEW_ROWS and _has_bf16():
            return self._exact.to(torch.bfloat16), BF16_ROUNDING
        return self._exact, ROUNDING

    @cached_property
    def _without_limits(self) -> Neighbours:
        """All rows in the order of their similarity, to find those that `skip_nearest` leaves out."""
        other = copy(self)
        other.max_similarity, other.skip_nearest, other.margin, other._ranked = None, 0, None, {}
        return other

    def _skipped(self, anchor: int) -> np.ndarray:
        """The rows that `skip_nearest` leaves out, int64 [r]."""
        return self._without_limits.nearest(anchor, self.skip_nearest, np.zeros(len(self), dtype=bool))

    def _rank_anchors(self, anchors: np.ndarray, count: int, fast: torch.Tensor, rounding: float) -> None:
        among = self._among
        with torch.cuda.stream(self._stream):
            columns = fast if among is None else fast[torch.from_numpy(among).to(fast.device)]
        wanted = min(count + self.skip_nearest + SLACK + 1, len(columns))  # + 1 for the anchor itself
        if not wanted:
            return
        for block in _blocks(anchors, BLOCK_ANCHORS):
            with torch.cuda.stream(self._stream):
                candidates, products = _candidates(fast, columns, block, wanted)
            candidates = candidates if among is None else among[candidates]
            unseen = products.min(axis=1) + rounding if wanted < len(columns) else np.full(len(block), -2.0)
            if rounding > ROUNDING:
                products = self._products(block, candidates)
            self._keep(block, candidates, products, unseen)

    def _products(self, anchors: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """fp32 products of [n] anchors with [n, c] candidates, as float64 [n, c]."""
        each = max(1, RANKED_ELEMENTS // max(1, candidates.shape[1] * self.embeddings.shape[1]))
        parts = [
            torch.bmm(self._exact[rows], self._exact[of, :, None])[..., 0]
            for of, rows in zip(
                torch.from_numpy(anchors).split(each), torch.from_numpy(candidates).split(each), strict=True
            )
        ]
        return torch.cat(parts).double().cpu().numpy()

    def _keep(self, anchors: np.ndarray, candidates: np.ndarray, cosines: np.ndarray, unseen: np.ndarray) -> None:
        """Rank the candidates of several anchors; a list ends at the largest cosine that an unseen row could have.

        Args:
            anchors: int64 [n].
            candidates: int64 [n, c].
            cosines: float64 [n, c], fp32 products.
            unseen: float64 [n], upper bounds of the cosines of all other rows.
        """
        order = np.argsort(-cosines, axis=1)
        candidates, cosines = (np.take_along_axis(each, order, axis=1) for each in (candidates, cosines))
        close = np.abs(cosines - self._limit) <= ROUNDING
        tied = cosines[:, :-1] - cosines[:, 1:] <= 2 * ROUNDING
        close[:, :-1] |= tied
        close[:, 1:] |= tied
        cosines[close] = self._cosines(anchors[np.nonzero(close)[0]], candidates[close])
        order = np.lexsort((candidates, -cosines), axis=-1)
        candidates, cosines = (np.take_along_axis(each, order, axis=1) for each in (candidates, cosines))
        seen, others = cosines > unseen[:, None] + ROUNDING, candidates != anchors[:, None]
        allowed = seen & (cosines < self._limit) & others
        if self.skip_nearest and self._among is None:  # the candidates begin with the nearest of all rows
            allowed &= np.cumsum(others, axis=1) > self.skip_nearest
        if self.margin:
            places = np.nonzero(allowed)
            allowed[places] = self.margin.allows(anchors[places[0]], candidates[places])
        for anchor, row, mask in zip(anchors.tolist(), candidates, allowed, strict=True):
            ranked = row[mask]
            if self.skip_nearest and self._among is not None:
                ranked = ranked[~np.isin(ranked, self._skipped(anchor))]
            self._ranked[anchor] = ranked

    def _among_all(self, anchor: int, count: int, taken: np.ndarray) -> np.ndarray:
        """`nearest` from a product with every row, of which only the rows near the end are ranked."""
        with torch.cuda.stream(self._stream):
            scores = (self._exact @ self._exact[anchor]).cpu().numpy()
        scores[taken] = -np.inf
        scores[anchor] = -np.inf
        if self.skip_nearest:
            scores[self._skipped(anchor)] = -np.inf
        if self.margin:
            scores[~self.margin.allows_of_all(anchor)] = -np.inf
        scores[scores > self._limit + ROUNDING] = -np.inf
        doubtful = int(np.count_nonzero(scores > self._limit - ROUNDING))
        wanted = min(count + doubtful, int(np.count_nonzero(scores > -np.inf)))
        if wanted == 0:
            return np.array([], dtype=np.int64)
        candidates = np.flatnonzero(scores >= np.partition(scores, -wanted)[-wanted] - 2 * ROUNDING)
        cosines = self._cosines(np.full(len(candidates), anchor), candidates)
        candidates, cosines = (each[cosines < self._limit] for each in (candidates, cosines))
        return candidates[np.lexsort((candidates, -cosines))][:count]

    @property
    def _limit(self) -> float:
        """Neighbours are less similar than this."""
        return np.inf if self.max_similarity is None else self.max_similarity - EQUAL

    def _cosines(self, anchors: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Cosines of pairs of rows, float64 [n], each summed separately so that it does not depend on the others."""
        cosines = np.empty(len(candidates))
        for part in _blocks(np.arange(len(candidates)), max(1, RANKED_ELEMENTS // self.embeddings.shape[1])):
            products = self.embeddings[candidates[part]].astype(np.float64) * self.embeddings[anchors[part]]
            cosines[part] = products.sum(axis=-1)
        return cosines


class ListedNeighbours(Neighbours):
    """Neighbours with precomputed lists (see `Neighbours.lists`)."""

    def __init__(
        self,
        embeddings: np.ndarray,
        lists: np.ndarray,
        max_similarity: float | None = None,
        *,
        skip_nearest: int = 0,
        margin: Margin | None = None,
    ) -> None:
        super().__init__(embeddings, max_similarity, skip_nearest=skip_nearest, margin=margin)
        self._lists = lists

    def prepare(self, anchors: np.ndarray, count: int, free: np.ndarray | None = None) -> None:
        """Look up the lists of several anchors."""
        self._ranked = {anchor: (row := self._lists[anchor])[row >= 0].astype(np.int64) for anchor in anchors.tolist()}


def _candidates(
    fast: torch.Tensor, columns: torch.Tensor, anchors: np.ndarray, wanted: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the columns with the largest products.

    Args:
        fast: Embeddings [rows, d], on any device and in any precision.
        columns: The embeddings that may be candidates, [columns, d].
        anchors: int64 [n], n at most BLOCK_ANCHORS.
        wanted: Number of candidates, at most the number of columns.

    Returns:
        The candidates, int64 [n, wanted], and their products, float64 [n, wanted].
    """
    queries = fast[torch.from_numpy(anchors).to(fast.device)]
    width = max(wanted, BLOCK_ELEMENTS // max(len(anchors), 1))
    values, rows = [], []
    for begin, end in pairwise([*range(0, len(columns), width), len(columns)]):
        best = (queries @ columns[begin:end].T).topk(min(wanted, end - begin), dim=1, sorted=False)
        values.append(best.values)
        rows.append(best.indices + begin)
    best = torch.cat(values, dim=1).topk(wanted, dim=1, sorted=False)
    chosen = torch.cat(rows, dim=1).gather(1, best.indices)
    return chosen.cpu().numpy(), best.values.double().cpu().numpy()


def _blocks(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _has_bf16() -> bool:
    """Whether this CPU computes products of bf16 faster; torch for Apple's processors has no function that tells."""
    tells = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return tells is not None and tells()
