"""How much of the data an epoch shows: batches of hard negatives may leave out some rows and repeat others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from simclip.config.proportion import clustered_rows

#: The figures of an epoch's coverage in the records.
SEEN, LARGEST, EFFECTIVE = "train/rows_seen", "train/largest_count", "train/effective_rows"


class Coverage:
    """Counts how often each row comes in a number of batches.

    Attributes:
        counts: int64 [rows].
    """

    def __init__(self, rows: int) -> None:
        self.counts = np.zeros(rows, dtype=np.int64)

    def counted(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the batches, int64 [N] of distinct rows, and count their rows."""
        for batch in batches:
            self.counts[batch] += 1
            yield batch

    @property
    def seen(self) -> float:
        """Share of the rows that came at least once, in [0, 1]."""
        return float((self.counts > 0).mean())

    @property
    def largest(self) -> int:
        """How often the most frequent row came."""
        return int(self.counts.max())

    @property
    def effective(self) -> float:
        """Effective number of rows (Kish 1965): (sum n)^2 / (sum n^2), which is all rows if they come equally often."""
        return float(self.counts.sum() ** 2 / np.maximum((self.counts**2).sum(), 1))

    def summary(self) -> dict[str, float]:
        """The figures, as records have them."""
        return {SEEN: self.seen, LARGEST: self.largest, EFFECTIVE: self.effective}


def most_seen(rows: int, batch_size: int, iterations: int, proportion: float, once: bool) -> float:
    """The largest share of rows that an epoch can be expected to show, without knowing what is similar.

    Rows that are drawn afresh for every batch are missed least often if all are drawn alike; similar rows are not, so
    that an epoch shows fewer.

    Args:
        rows: Number of training rows.
        batch_size: N.
        iterations: Number of batches in the epoch.
        proportion: Share of a batch that comes in clusters.
        once: Whether clusters hold each row at most once in an epoch.
    """
    clustered = 0 if once else clustered_rows(proportion, batch_size)
    walked = min(1.0, iterations * (batch_size - clustered) / rows)
    return 1 - (1 - walked) * (1 - clustered / rows) ** iterations
