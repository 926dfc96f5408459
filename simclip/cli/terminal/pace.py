"""How long an epoch of a study takes, as far as its epochs tell."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from simclip.study.store.records import Record
from simclip.train.history import Row


@dataclass
class _Mean:
    """A mean to which numbers are added one by one."""

    total: float = 0.0
    count: int = 0

    def add(self, number: float) -> None:
        """Count one more number."""
        self.total += number
        self.count += 1

    @property
    def value(self) -> float | None:
        """The mean; None before the first number."""
        return self.total / self.count if self.count else None


class Pace:
    """The mean seconds of an epoch, by arm and over all arms, and those that a trial takes besides its epochs."""

    def __init__(self) -> None:
        self._arms: defaultdict[str, _Mean] = defaultdict(_Mean)
        self._all, self._besides = _Mean(), _Mean()

    def add_epoch(self, arm: str, row: Row) -> None:
        """Count an epoch of an arm; the evaluation of the base model, epoch 0, is none."""
        if row["epoch"] > 0:
            self._arms[arm].add(row["seconds"])
            self._all.add(row["seconds"])

    def add_trial(self, record: Record) -> None:
        """Count what an ended trial took besides its epochs."""
        epochs = sum(row["seconds"] for row in record.history if row["epoch"] > 0)
        self._besides.add(max(0.0, record.seconds - epochs))

    def of(self, arm: str) -> float | None:
        """Mean seconds of an arm's epochs, or of all epochs if it has none yet; None before the first."""
        return self._arms[arm].value if arm in self._arms else self.mean

    @property
    def mean(self) -> float | None:
        """Mean seconds of all epochs; None before the first."""
        return self._all.value

    @property
    def overhead(self) -> float:
        """Mean seconds of a trial for loading and for the evaluation of the base model."""
        return self._besides.value or 0.0
