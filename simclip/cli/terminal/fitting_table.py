"""Draw tables and lines in a terminal of any width: leave out what matters least rather than wrap or overflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from simclip.cli.wording.short_names import short_names
from simclip.cli.wording.table import Cell, Column, Table, Tone

GAP = 2
STYLES: dict[Tone, str] = {"": "", "good": "green", "bad": "red", "warn": "red", "dim": "dim", "bold": "bold"}


class FittingTable:
    """Draws as many columns of a table as there is width for, the important ones first.

    Args:
        table: What to draw. The title is left out.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = _fit(_drawn(self.table), options.max_width)
        table = RichTable(
            box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold",
            border_style="dim",
        )  # fmt: skip
        for drawn, width in columns:
            table.add_column(
                Text("\n".join(line[:width] for line in drawn.heading)),
                justify="right" if drawn.column.right else "left", width=width, no_wrap=True, vertical="bottom",
            )  # fmt: skip
        cells = [drawn.shortened(width) for drawn, width in columns]
        for row, texts in zip(self.table.rows, zip(*cells, strict=True), strict=True):
            if row.separate:
                table.add_section()
            table.add_row(*texts)
        yield table
        if caption := self.table.caption_for(drawn.column for drawn, _ in columns):
            yield Text()
            yield Text(caption, "dim")


def fitted_line(first: Text, pieces: Sequence[tuple[int, Text]], width: int) -> Text:
    """Join pieces of text into a line; the least important ones are left out where width is short.

    Args:
        first: Always shown, shortened if it must be.
        pieces: Priority and text; the highest numbers are left out first, those with 0 never. Empty ones are skipped.
        width: Maximum width of the line in characters.
    """
    columns = [_Drawn(Column("", min_width=10), [first])]
    columns += [_Drawn(Column("", priority=priority), [text]) for priority, text in pieces if text]
    return Text(" " * GAP).join(shortened(drawn.cells[0], own) for drawn, own in _fit(columns, width))[:width]


def shortened(text: Text, width: int) -> Text:
    """The text without its middle where it is too long: names differ at both of their ends."""
    if text.cell_len <= width:
        return text
    tail = max(0, (width - 1) // 2)
    cut = text[: width - 1 - tail] + Text("…", style=text.style) + text[len(text) - tail :]
    cut.truncate(width)  # for characters that take two cells
    return cut


@dataclass(frozen=True)
class _Drawn:
    """A column with its cells by row, as a terminal draws them."""

    column: Column
    cells: Sequence[Text]

    @property
    def heading(self) -> list[str]:
        """The lines of the heading."""
        return [line.rstrip(" /") for line in self.column.heading.split("\n")]

    @property
    def width(self) -> int:
        """The width that shows everything."""
        return max([cell_len(line) for line in self.heading] + [cell.cell_len for cell in self.cells])

    @cached_property
    def least_width(self) -> int:
        """The width below which other columns are left out; cells that differ are told apart in it."""
        if self.column.min_width is None or self.width <= self.column.min_width:
            return self.width
        names = short_names([cell.plain for cell in self.cells], self.column.min_width)
        return min(self.width, max(self.column.min_width, *map(cell_len, names)))

    def shortened(self, width: int) -> list[Text]:
        """The cells, cut to a width; those that differ still do where the width is enough for that."""
        names = short_names([cell.plain for cell in self.cells], width)
        return [
            shortened(cell if cell.cell_len <= width else Text(name, cell.style), width)
            for cell, name in zip(self.cells, names, strict=True)
        ]


def _drawn(table: Table) -> list[_Drawn]:
    marks = [_text(row.mark, "") for row in table.rows]
    columns = [_Drawn(Column(""), marks)] if any(marks) else []
    for place, column in enumerate(table.columns):
        columns.append(_Drawn(column, [_text(row.cells[place], row.tone) for row in table.rows]))
    return columns


def _text(cell: Cell, tone: Tone) -> Text:
    return cell.text if isinstance(cell.text, Text) else Text(cell.text, STYLES[cell.tone or tone])


def _fit(columns: Sequence[_Drawn], width: int) -> list[tuple[_Drawn, int]]:
    """The columns that fit, with their widths; those that can be shortened share what the others leave."""
    kept = list(columns)
    while sum(each.least_width for each in kept) + GAP * (len(kept) - 1) > width:
        last = max(kept, key=lambda each: each.column.priority)
        if last.column.priority == 0:
            break
        kept.remove(last)
    flexible = [each for each in kept if each.column.min_width is not None]
    room = width - GAP * (len(kept) - 1) - sum(each.width for each in kept if each not in flexible)
    fitted = []
    for each in kept:
        own = each.width
        if each in flexible:
            flexible.remove(each)
            own = max(1, min(own, room - sum(other.least_width for other in flexible)))
            room -= own
        fitted.append((each, own))
    return fitted
