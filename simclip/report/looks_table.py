"""The table of the looks at the confirm stage."""

from __future__ import annotations

from simclip.cli.wording.arm_tables import VERDICT_TONES
from simclip.cli.wording.formatting import p_value
from simclip.cli.wording.table import Cell, Column, Row, Table, difference_cell, interval_cell, text_cell
from simclip.report.findings import Findings
from simclip.study.analysis.comparison.looks import Look, Looked
from simclip.study.analysis.statistics import ALPHA

CAPTION = (
    "A row for each arm that was not decided before. Each interval holds for all arms together, at the look's part of "
    f"the level of {ALPHA:.0%}."
)


def looks_table(findings: Findings) -> Table | None:
    """What each look found about each arm; None unless there are, or were to be, several looks."""
    looks, metric = findings.looks, findings.confirmed
    if looks is None or not looks.taken or max(len(looks.taken), len(looks.plan.seeds)) < 2:
        return None
    columns = [
        Column("seeds", right=True),
        Column("level", right=True),
        Column("arm"),
        Column("vs control", right=True),
        Column("interval", right=True),
        Column("p", right=True),
        Column("verdict"),
    ]

    def row(look: Look, name: str, arm: Looked, first: bool) -> Row:
        found = arm.difference
        low, high = (found.low, found.high) if found else (None, None)
        cells = [
            Cell(str(look.seeds), look.seeds),
            Cell(f"{100 * look.level:.2g}%", look.level),
            text_cell(name),
            difference_cell(metric, found.value if found else None),
            interval_cell(metric.difference(low), metric.difference(high), low, high),
            Cell(p_value(found.p), found.p) if found else Cell(),
            Cell(arm.word or "no verdict", arm.word, VERDICT_TONES.get(arm.word, "")),
        ]
        return Row(cells, separate=first)

    rows = [
        row(look, name, arm, first=not place and look is not looks.taken[0])
        for look in looks.taken
        for place, (name, arm) in enumerate(look.arms.items())
    ]
    return Table(columns, rows, "looks", "Looks at the confirm stage", CAPTION)
