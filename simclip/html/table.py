"""A table on a page (the `table` macro calls these functions) and as a CSV file."""

from __future__ import annotations

import csv
import io
import re

from simclip.cli.wording.table import Cell, Column, Table


def typeset(cell: Cell, column: Column) -> str:
    """A cell's text; in columns of numbers with minus signs and dashes in place of hyphens."""
    text = str(cell.text)
    return re.sub(r"(?<!\d)-(?=\d)", "−", text).replace("-", "–") if column.right else text


def csv_text(table: Table) -> str:
    """The headings and the values of all cells."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(column.heading.replace("\n", "") for column in table.columns)
    lines.writerows([cell.value for cell in row.cells] for row in table.rows)
    return text.getvalue()
