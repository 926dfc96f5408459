"""A measured line of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias


class Skipped(Exception):
    """A benchmark cannot run here; the message says why."""


@dataclass(frozen=True)
class Row:
    """One figure, with the seconds that it comes from.

    Attributes:
        name: What was measured.
        size: On how much.
        figure: The result, in `unit`; a ratio "x" is reference / ours.
        unit: x, %, s, min, GiB, pairs/s.
        reference: Seconds the plain reference takes, where there is one.
        ours: Seconds we take.
        goal: What the figure should reach, in `unit`.
        at_most: Whether the goal is an upper bound.
        note: What was extrapolated, left out or included.
    """

    name: str
    size: str
    figure: float
    unit: str
    reference: float | None = None
    ours: float | None = None
    goal: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None where there is none."""
        if self.goal is None:
            return None
        return self.figure <= self.goal if self.at_most else self.figure >= self.goal


#: From whether all sizes are wanted to rows, each as soon as it is measured.
Benchmark: TypeAlias = Callable[[bool], Iterator[Row]]


def speedup(name: str, size: str, reference: float, ours: float, goal: float | None = None, note: str = "") -> Row:
    """A row whose figure is how many times faster we are."""
    return Row(name, size, reference / ours, "x", reference, ours, goal, note=note)
