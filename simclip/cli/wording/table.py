"""The table model: a table is built once; `cli.terminal` draws it, `html` puts it on a page and writes it as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rich.text import Text

from simclip.cli.wording.formatting import Metric

#: How a cell or a row stands out; each renderer has its own colours.
Tone = Literal["", "good", "bad", "warn", "dim", "bold"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: In one or two lines; CSV files join the lines.
        right: Whether to align it to the right, as numbers are.
        priority: A narrow terminal leaves out the columns with the highest number first, and never those with 0.
        min_width: Characters to which a terminal may shorten the cells before it leaves out a column; None: never.
        note: A sentence that explains the column, added to the caption where the column is shown.
    """

    heading: str
    right: bool = False
    priority: int = 0
    min_width: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What people read; rich text where a terminal shows several colours.
        value: What a CSV file holds: fractions rather than percent, durations in seconds.
        tone: How it stands out.
    """

    text: str | Text = ""
    value: Any = None
    tone: Tone = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One per column; the first names the row.
        mark: A sign before the row, such as a star for the best; CSV files leave it out.
        tone: For the cells that have no tone of their own.
        separate: Whether a line divides it from the rows above.
    """

    cells: Sequence[Cell]
    mark: Cell = Cell()
    tone: Tone = ""
    separate: bool = False


@dataclass(frozen=True)
class Table:
    """A table that can be shown anywhere.

    Attributes:
        columns: From left to right.
        rows: From top to bottom.
        name: File name of the CSV, without its ending; unique within a page.
        title: Heading on a page.
        caption: How to read it, besides the notes of its columns.
        collapsed: Whether a page shows it only when it is opened.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    name: str = ""
    title: str = ""
    caption: str = ""
    collapsed: bool = False

    def caption_for(self, columns: Iterable[Column]) -> str:
        """The caption and the notes of the columns that are shown."""
        return " ".join(filter(None, [self.caption, *(column.note for column in columns)]))

    def without_empty_columns(self) -> Table:
        """This table without its empty columns; columns with priority 0 always stay."""
        places = [
            place
            for place, column in enumerate(self.columns)
            if not column.priority or any(row.cells[place].text for row in self.rows)
        ]
        rows = [replace(row, cells=[row.cells[place] for place in places]) for row in self.rows]
        return replace(self, columns=[self.columns[place] for place in places], rows=rows)


def text_cell(text: str, tone: Tone = "") -> Cell:
    """A cell that reads the same for people and in a CSV file."""
    return Cell(text, text, tone)


def metric_cell(metric: Metric, value: float | None, tone: Tone = "") -> Cell:
    """A value of a metric."""
    return Cell(metric.bare(value), value, tone)


def difference_cell(metric: Metric, value: float | None) -> Cell:
    """A difference of two values of a metric."""
    return Cell(metric.difference(value), value)


def interval_cell(low_text: str, high_text: str, low: float | None, high: float | None) -> Cell:
    """Both ends of an interval; empty where there is none."""
    return Cell() if low is None or high is None else Cell(f"{low_text} to {high_text}", f"{low!r} to {high!r}")
