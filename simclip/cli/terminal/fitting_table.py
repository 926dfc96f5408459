"""Tables and lines that leave out what matters least rather than wrap or overflow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2


@dataclass(frozen=True)
class Column:
    """A column of a fitting table.

    Attributes:
        title: Its heading; a line break makes two lines of it.
        cells: One line each.
        rank: The column of the highest rank goes first where width is short; those of rank 0 stay.
        least: Cells may be shortened to so many characters before another column goes; None: never.
        right: Whether it is aligned to the right, as figures are.
    """

    title: str
    cells: Sequence[Text]
    rank: int = 0
    least: int | None = None
    right: bool = False

    @property
    def width(self) -> int:
        """What it takes to show it whole."""
        return max([cell_len(line) for line in self.title.split("\n")] + [cell.cell_len for cell in self.cells])

    @property
    def least_width(self) -> int:
        """What it takes at least, while other columns could still go."""
        return self.width if self.least is None else min(self.width, self.least)


class FittingTable:
    """A table that shows as many of its columns as there is width for, the important ones first.

    Args:
        columns: From left to right.
        sections: Rows after which a line stays empty.
    """

    def __init__(self, columns: Sequence[Column], sections: Collection[int] = ()) -> None:
        self.columns, self.sections = columns, sections

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = _widths(_kept(self.columns, options.max_width), options.max_width)
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold",
                      border_style="dim")  # fmt: skip
        for column, width in widths:
            title = Text("\n".join(line[:width] for line in column.title.split("\n")))
            table.add_column(
                title, justify="right" if column.right else "left", width=width, no_wrap=True, vertical="bottom"
            )
        for row in range(len(self.columns[0].cells)):
            table.add_row(*(shortened(column.cells[row], width) for column, width in widths))
            if row in self.sections:
                table.add_section()
        yield table


def fitted_line(first: Text, pieces: Sequence[tuple[int, Text]], width: int) -> Text:
    """Pieces side by side after a first one that may be shortened; those of the highest ranks go where width is short.

    Args:
        first: It stays.
        pieces: Each with its rank, 0 for one that stays; empty ones are left out.
        width: Of the line at most.
    """
    columns = [Column("", [first], least=10), *(Column("", [piece], rank) for rank, piece in pieces if piece)]
    kept = _widths(_kept(columns, width), width)
    return Text(" " * GAP).join(shortened(column.cells[0], own) for column, own in kept)[:width]


def shortened(text: Text, width: int) -> Text:
    """The text, its middle left out where it is too long: names differ at both of their ends."""
    if text.cell_len <= width:
        return text
    tail = max(0, (width - 1) // 2)
    cut = text[: width - 1 - tail] + Text("…", style=text.style) + text[len(text) - tail :]
    cut.truncate(width)  # for characters that take two cells
    return cut


def _kept(columns: Sequence[Column], width: int) -> list[Column]:
    kept = list(columns)
    while sum(column.least_width for column in kept) + GAP * (len(kept) - 1) > width:
        last = max(kept, key=lambda column: column.rank)
        if last.rank == 0:
            break
        kept.remove(last)
    return kept


def _widths(columns: list[Column], width: int) -> list[tuple[Column, int]]:
    """Each column's width; those that can be shortened share what the others leave."""
    flexible = [column for column in columns if column.least is not None]
    fixed = sum(column.width for column in columns if column.least is None)
    room = width - fixed - GAP * (len(columns) - 1)
    widths = []
    for column in columns:
        if column.least is None:
            widths.append((column, column.width))
            continue
        flexible.remove(column)
        own = max(1, min(column.width, room - sum(other.least_width for other in flexible)))
        room -= own
        widths.append((column, own))
    return widths
