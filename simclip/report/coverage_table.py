"""The table of coverage: how much of the data each arm saw in an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from simclip.cli.wording.arm_tables import MANY
from simclip.cli.wording.table import Cell, Column, Row, Table, text_cell
from simclip.clusters.coverage import EFFECTIVE, LARGEST, SEEN
from simclip.report.findings import Findings
from simclip.study.store.records import Record

CAPTION = (
    "Per epoch, means over epochs and seeds; the largest count is that of any epoch. An arm that sees fewer rows also "
    "trains on reweighted data, so that its difference from the control is not the effect of hard negatives alone. "
    "Effective rows: (sum of counts)² / (sum of squared counts)."
)


def coverage_table(findings: Findings) -> Table | None:
    """A row per arm whose epochs were counted; earlier versions did not count."""
    by_arm: dict[str, list[Record]] = {}
    for record in findings.records.values():
        by_arm.setdefault(record.arm, []).append(record)
    rows = [Row(cells) for arm, records in by_arm.items() for cells in _cells(arm, records)]
    if not rows:
        return None
    columns = [Column("arm"), *(Column(each, right=True) for each in ("rows seen", "largest count", "effective rows"))]
    return Table(columns, rows, "coverage", "Coverage of the training data", CAPTION, len(rows) > MANY)


def _cells(arm: str, records: Sequence[Record]) -> Iterator[list[Cell]]:
    epochs = [row for record in records for row in record.history if SEEN in row]
    if epochs:
        seen, effective = (fmean(row[name] for row in epochs) for name in (SEEN, EFFECTIVE))
        largest = max(row[LARGEST] for row in epochs)
        yield [
            text_cell(arm),
            Cell(f"{seen:.1%}", seen),
            Cell(f"{largest:,.0f}", largest),
            Cell(f"{effective:,.0f}", effective),
        ]
