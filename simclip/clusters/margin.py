"""A limit on neighbours by the similarity of images and captions, relative to each image's own caption."""

from __future__ import annotations

import numpy as np

from simclip.clusters.similar_rows import ROUNDING

#: Maximum number of elements of embeddings in memory at once, in fp64.
ELEMENTS = 2**18


class Margin:
    """Leaves out rows whose caption describes the anchor's image nearly as well as the anchor's own caption does.

    As in NV-Retriever (Moreira et al. 2024), which removes likely false negatives by a share of the positive's score.

    Args:
        images: float32 [rows, d], L2-normalised.
        texts: float32 [rows, d], L2-normalised.
        share: A row is left out if its caption is closer to the image than this share of the own caption's cosine.
    """

    def __init__(self, images: np.ndarray, texts: np.ndarray, share: float) -> None:
        self.images, self.texts, self.share = images, texts, share

    def part(self, rows: np.ndarray) -> Margin:
        """The same limit among some of the rows."""
        return Margin(self.images[rows], self.texts[rows], self.share)

    def allows(self, anchors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether each row may be a neighbour of the anchor at its place, bool [n]; both int64 [n]."""
        allowed = np.empty(len(anchors), dtype=bool)
        step = max(1, ELEMENTS // self.images.shape[1])
        for part in (slice(begin, begin + step) for begin in range(0, len(anchors), step)):
            of, to = anchors[part], rows[part]
            allowed[part] = self._cosines(of, to) <= self.share * self._cosines(of, of)
        return allowed

    def allows_of_all(self, anchor: int) -> np.ndarray:
        """Whether each of all rows may be a neighbour of an anchor, bool [rows]; equal to `allows`."""
        own = np.array([anchor])
        room = self.share * self._cosines(own, own) - self.texts @ self.images[anchor]
        allowed = room > 0
        doubtful = np.flatnonzero(np.abs(room) <= ROUNDING)
        allowed[doubtful] = self.allows(np.full(len(doubtful), anchor), doubtful)
        return allowed

    def _cosines(self, of: np.ndarray, to: np.ndarray) -> np.ndarray:
        """Cosines of images and captions, float64 [n], each summed separately."""
        return (self.images[of].astype(np.float64) * self.texts[to]).sum(axis=-1)
