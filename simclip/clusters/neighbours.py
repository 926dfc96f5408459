"""Nearest neighbours by cosine, exact: fast candidates in fp32, ranked in fp64, ties to the lower row."""

from __future__ import annotations

import numpy as np
import torch

#: More than an fp32 product of unit vectors can be wrong by.
ROUNDING = 1e-5
#: More than the cosine of two equal unit vectors, rounded to fp32, can be off 1.
EQUAL = 1e-6
#: Candidates beyond those asked for, because some of them may already stand in the batch.
SLACK = 64
#: Rows whose exact cosines are held at once.
BLOCK = 16_384


class Neighbours:
    """Rows in the order of their similarity to an anchor.

    Args:
        embeddings: float32 [rows, d], rows of length 1.
        max_similarity: Rows at or above this cosine, to six decimals, are nobody's neighbours: likely duplicates,
            false negatives.
    """

    def __init__(self, embeddings: np.ndarray, max_similarity: float | None = None) -> None:
        self.embeddings = embeddings
        self.max_similarity = max_similarity
        self._fast = torch.from_numpy(embeddings)
        self._ranked: dict[int, np.ndarray] = {}

    def prepare(self, anchors: np.ndarray, count: int) -> None:
        """Rank about the first `count` neighbours of several anchors with one matrix product."""
        wanted = min(count + SLACK + 1, len(self.embeddings))  # one more: the anchor itself
        scores = self._fast[torch.from_numpy(anchors)] @ self._fast.T
        best = scores.topk(wanted, dim=1)
        unseen = best.values[:, -1].numpy() + ROUNDING if wanted < len(self.embeddings) else np.full(len(anchors), -2)
        candidates = best.indices.numpy()
        self._ranked = {
            int(anchor): self._rank(int(anchor), candidates[i], float(unseen[i])) for i, anchor in enumerate(anchors)
        }

    def nearest(self, anchor: int, count: int, taken: np.ndarray) -> np.ndarray:
        """The `count` most similar rows that are free, nearest first; fewer where fewer are free.

        Args:
            anchor: A row.
            taken: bool [rows], rows that cannot be chosen.
        """
        prepared = self._ranked.get(anchor)
        if prepared is not None:
            free = prepared[~taken[prepared]]
            if len(free) >= count:
                return free[:count]
        everyone = self._rank(anchor, np.arange(len(self.embeddings)))
        return everyone[~taken[everyone]][:count]

    def _rank(self, anchor: int, candidates: np.ndarray, unseen: float = -2.0) -> np.ndarray:
        """Candidates by falling cosine, cut where a row outside of them (cosine up to `unseen`) could come between."""
        cosines = np.concatenate(
            [self._cosines(anchor, candidates[begin : begin + BLOCK]) for begin in range(0, len(candidates), BLOCK)]
        )
        allowed = (cosines > unseen) & (candidates != anchor)
        if self.max_similarity is not None:
            allowed &= cosines < self.max_similarity - EQUAL
        candidates, cosines = candidates[allowed], cosines[allowed]
        return candidates[np.lexsort((candidates, -cosines))]

    def _cosines(self, anchor: int, candidates: np.ndarray) -> np.ndarray:
        """float64 [candidates], each summed by itself: a cosine does not depend on which others it comes with."""
        return (self.embeddings[candidates].astype(np.float64) * self.embeddings[anchor]).sum(axis=1)
