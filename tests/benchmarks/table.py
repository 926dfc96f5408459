"""Rows as a table for the terminal, as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from tests.benchmarks.rows import Row

HEADINGS = ("what", "on", "reference", "ours", "figure", "goal", "reached")
MARKS = {True: "yes", False: "NO", None: ""}


def rich_table(rows: Sequence[Row], machine: Mapping[str, str]) -> Table:
    """For the terminal; notes are numbered below."""
    table = Table(box=box.SIMPLE_HEAD, title=_title(machine), caption=_notes(rows), title_justify="left",
                  caption_justify="left")  # fmt: skip
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number in (0, 1, 6) else "right")
    for cells, row in zip(_cells(rows), rows, strict=True):
        table.add_row(*cells, style="bold red" if row.reached is False else None)
    return table


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """For a page of Markdown."""
    lines = [" | ".join(HEADINGS), "--- | --- | ---: | ---: | ---: | ---: | ---", *map(" | ".join, _cells(rows))]
    return "\n".join([_title(machine), "", *(f"| {line} |" for line in lines), "", _notes(rows, "\n\n")]) + "\n"


def as_json(rows: Sequence[Row], machine: Mapping[str, str], skipped: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for machines."""
    measured = [{**asdict(row), "reached": row.reached} for row in rows]
    return {"machine": dict(machine), "rows": measured, "skipped": dict(skipped)}


def seconds(value: float | None) -> str:
    """With a unit that suits."""
    if value is None:
        return ""
    if value >= 1:
        return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def figure(value: float, unit: str) -> str:
    """A result with its unit."""
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number}{'' if unit in ('x', '%') else ' '}{unit}"


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    marks = _note_numbers(rows)
    return [
        [
            f"{row.name} [{marks[row.note]}]".replace("[", "(").replace("]", ")") if row.note else row.name,
            row.size,
            seconds(row.reference),
            seconds(row.ours),
            figure(row.figure, row.unit),
            "" if row.goal is None else f"{'≤' if row.at_most else '≥'} {figure(row.goal, row.unit)}",
            MARKS[row.reached],
        ]
        for row in rows
    ]


def _note_numbers(rows: Sequence[Row]) -> dict[str, int]:
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return {note: number for number, note in enumerate(notes, start=1)}


def _notes(rows: Sequence[Row], between: str = "\n") -> str:
    return between.join(f"({number}) {note}" for note, number in _note_numbers(rows).items())


def _title(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" if name != "CPU" else value for name, value in machine.items())
