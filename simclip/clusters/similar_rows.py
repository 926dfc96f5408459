"""What planning needs to know about similar rows. This module does not import torch: study files are read without."""

from __future__ import annotations

from typing import Protocol

import numpy as np

#: Upper bound on the error of an fp32 product of unit vectors.
ROUNDING = 1e-5
#: Maximum number of anchors in one product.
BLOCK_ANCHORS = 1024


class SimilarRows(Protocol):
    """Rows in the order of their similarity to an anchor (see `Neighbours`)."""

    embeddings: np.ndarray

    def __len__(self) -> int:
        """The number of rows."""

    @property
    def limits(self) -> str:
        """The limits that leave rows out, e.g. "max_similarity 0.9 with skip_nearest 3"; empty if there are none."""

    def part(self, rows: np.ndarray) -> SimilarRows:
        """The same among some of the rows, int64 [n], which are numbered anew in their order."""

    def prepare(self, anchors: np.ndarray, count: int, free: np.ndarray | None = None) -> None:
        """Rank about the first `count` neighbours of several anchors, and forget earlier ones.

        Args:
            anchors: int64 [n].
            count: Number of neighbours.
            free: bool [rows], where only some rows can still be neighbours: the fewer, the faster.
        """

    def nearest(self, anchor: int, count: int, taken: np.ndarray) -> np.ndarray:
        """The `count` most similar free rows, nearest first; fewer if fewer are free.

        Args:
            anchor: A row.
            count: Number of neighbours.
            taken: bool [rows], rows that are not free.

        Returns:
            int64 [count or fewer].
        """
