"""The tables of trials, of what they cost, and of those that failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from simclip.cli.wording.formatting import duration, reason
from simclip.html.table import Cell, Table, number
from simclip.report.findings import Findings
from simclip.study.analysis.spent import Hours, StageSpent
from simclip.study.store.records import Record


def all_trials(findings: Findings) -> Iterator[Table]:
    """A row per trial that has begun."""
    if not findings.records:
        return
    rows = []
    for record in sorted(findings.records.values(), key=lambda record: (record.stage, record.started, record.trial)):
        outcome = record.outcome or "unfinished"
        begun = datetime.fromtimestamp(record.started, timezone.utc) if record.started else None
        cells = [
            Cell(record.trial, record.trial),
            Cell(record.stage, record.stage),
            Cell(outcome, outcome, {"failed": "warn", "unfinished": "dim", "stopped": "dim"}.get(outcome, "")),
            number(findings.metric, record.score),
            Cell(str(record.best["epoch"]) if record.best else "", record.best["epoch"] if record.best else None),
            Cell(duration(record.seconds), record.seconds),
            Cell(f"{begun:%Y-%m-%d %H:%M}" if begun else "", begun.isoformat() if begun else None),
        ]
        rows.append(("", cells))
    columns = ["trial", "stage", "ended", findings.metric.title, "best epoch", "took", "started (UTC)"]
    yield Table("trials", "Trials", "A line per trial that has begun.", columns, rows, long=len(rows) > 12)


def costs(findings: Findings) -> Iterator[Table]:
    """Hours by stage and by how trials ended."""
    if not findings.ended:
        return
    spent = findings.spent
    rows = [row for name, stage in spent.stages.items() for row in _stage_cost(name, stage)]
    rows.append(_total("all", spent))
    yield Table(
        "cost",
        "Cost",
        "In hours. Wall: the time in which at least one of the trials ran; CPU and GPU: what the trials had reserved.",
        ["stage", "ended", "trials", "wall h", "trial h", "CPU h", "GPU h"],
        rows,
    )


def _stage_cost(name: str, stage: StageSpent) -> Iterator[tuple[str, list[Cell]]]:
    ends = {end: spent for end in ("finished", "stopped", "failed") if (spent := getattr(stage, end)).trials}
    for end, spent in ends.items():
        yield "", _spent(name, end, stage.wall_hours if len(ends) == 1 else None, [spent])
    if len(ends) > 1:
        yield _total(name, stage)


def _total(name: str, stage: StageSpent) -> tuple[str, list[Cell]]:
    return "total", _spent(name, "all", stage.wall_hours, [stage.finished, stage.stopped, stage.failed])


def _spent(name: str, end: str, wall: float | None, spent: list[Hours]) -> list[Cell]:
    hours = [wall, *(sum(getattr(each, kind) for each in spent) for kind in ("hours", "cpu_hours", "gpu_hours"))]
    trials = sum(each.trials for each in spent)
    return [Cell(name, name), Cell(end, end), Cell(f"{trials:,}", trials),
            *(Cell("" if each is None else f"{each:,.2f}", each) for each in hours)]  # fmt: skip


def failures(findings: Findings) -> list[tuple[Record, str]]:
    """The trials that failed, and what they died of."""
    return [(record, reason(record)) for record in findings.ended.values() if record.outcome == "failed"]


def total_cost(findings: Findings) -> list[Cell]:
    """What all of a study's trials took."""
    return _total("all", findings.spent)[1]
