"""A table, for the page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclip.cli.wording.formatting import Metric
from simclip.runtime.files import write_atomically


@dataclass(frozen=True)
class Cell:
    """What a table says in one place.

    Attributes:
        text: For people.
        value: For machines: shares as shares, seconds as seconds.
        style: A class of the page's style sheet.
    """

    text: str
    value: Any = None
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        name: Of its file; unique within a report.
        title: What it holds.
        caption: How to read it.
        columns: Their headings.
        rows: A style and a cell per column.
        long: Whether the page folds it.
    """

    name: str
    title: str
    caption: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    long: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only."""
        cells = [[row[place].value for _, row in self.rows] for place in range(len(self.columns))]
        return [all(value is None or isinstance(value, int | float) for value in column) for column in cells]

    def save(self, folder: Path) -> None:
        """Write it as CSV."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(self.columns)
        lines.writerows([cell.value for cell in row] for _, row in self.rows)
        write_atomically(folder / f"{self.name}.csv", text.getvalue())


def untouched_row(columns: list[str], values: Mapping[int, Cell]) -> tuple[str, list[Cell]]:
    """The last row: a style and its cells, by place."""
    cells = [values.get(place, Cell("")) for place in range(1, len(columns))]
    return "untouched", [Cell("untouched model", "untouched"), *cells]


def number(metric: Metric, value: float | None, style: str = "") -> Cell:
    """A value of a metric."""
    return Cell(metric.bare(value), value, style)


def difference(metric: Metric, value: float | None) -> Cell:
    """A difference of two values of a metric."""
    return Cell(metric.difference(value).replace("-", "−"), value)


def interval(low_text: str, high_text: str, low: float | None, high: float | None) -> Cell:
    """Both ends of an interval; nothing where there is none."""
    if low is None or high is None:
        return Cell("")
    return Cell(f"{low_text} … {high_text}".replace("-", "−"), f"{low!r} to {high!r}", "number")
