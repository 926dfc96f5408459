"""The schedule of the proportion p, and the number of clustered rows in a batch."""

from __future__ import annotations

from fractions import Fraction

from simclip.errors import InputError


def clustered_rows(proportion: float, batch_size: int) -> int:
    """The number of rows in a batch that come in clusters: floor(pN).

    p is rounded to the nearest simple fraction: 0.29 of 100 rows is 29, not 28.

    Args:
        proportion: p in [0, 1].
        batch_size: N, at least 1.
    """
    return int(Fraction(proportion).limit_denominator(10**6) * batch_size)


def doubling_epochs(epochs: int, intervals: int) -> list[int]:
    """The epochs, counted from 0, at the start of which p doubles during the warm-up (paper, section 3).

    I intervals have I - 1 doublings. The original has I = 9 in 20 epochs and doubles at 4, 6, ..., 18: the first
    interval is twice as long as the others. Other lengths scale; in a run shorter than I, p may double twice per epoch.
    """
    return [epochs * (doubling + 1) // (intervals + 1) for doubling in range(1, intervals)]


def warmup_proportions(final: float, epochs: int, intervals: int) -> list[float]:
    """The proportion of every epoch: final * 0.5**(I-1-i) in interval i (paper, section 3).

    Args:
        final: Final proportion, in [0, 1].
        epochs: Length of the run.
        intervals: I; 1 means no warm-up.
    """
    doublings = doubling_epochs(epochs, intervals)
    return [final * 0.5 ** sum(epoch < doubling for doubling in doublings) for epoch in range(epochs)]


def doubled_proportions(initial: float, epochs: int, doublings: list[int]) -> list[float]:
    """The proportion of every epoch as in the original: doubled at each of the given epochs, at most 1."""
    return [min(1.0, initial * 2.0 ** sum(epoch >= doubling for doubling in doublings)) for epoch in range(epochs)]


def rows_per_worker(batch_size: int, workers: int) -> int:
    """Rows of a batch that each worker takes.

    Raises:
        InputError: The batch cannot be split evenly.
    """
    if batch_size % workers:
        raise InputError(f"batch_size {batch_size} cannot be shared by {workers} workers: use a multiple of {workers}")
    return batch_size // workers
