"""Tables of trials and their cost, and the list of failed trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone

from simclip.cli.wording.formatting import Metric, duration, reason
from simclip.cli.wording.table import Cell, Column, Row, Table, Tone, metric_cell, text_cell
from simclip.report.findings import Findings
from simclip.study.analysis.spent import Hours, StageSpent
from simclip.study.store.records import Record

TONES: Mapping[str, Tone] = {"failed": "warn", "unfinished": "dim", "stopped": "dim"}
#: Trials above which the page shows the table only when it is opened.
MANY_TRIALS = 12
COST_COLUMNS = [Column(each, right=True) for each in ("trials", "wall h", "trial h", "CPU h", "GPU h")]
COST_CAPTION = (
    "In hours. Wall: time in which at least one trial ran. Trial: sum of the trials' durations. CPU and GPU: time for "
    "which trials reserved them."
)


def all_trials(findings: Findings) -> Table | None:
    """A row per trial that has begun."""
    if not findings.records:
        return None
    ordered = sorted(findings.records.values(), key=lambda record: (record.stage, record.started, record.trial))
    headings = ("trial", "stage", "ended", findings.metric.heading, "best epoch", "took", "started (UTC)")
    return Table(
        [Column(each, right=each not in ("trial", "stage", "ended", "started (UTC)")) for each in headings],
        [_trial(findings.metric, record) for record in ordered],
        "trials",
        "Trials",
        "All trials that have begun, each with its best epoch.",
        len(ordered) > MANY_TRIALS,
    )


def _trial(metric: Metric, record: Record) -> Row:
    outcome = record.outcome or "unfinished"
    begun = datetime.fromtimestamp(record.started, timezone.utc) if record.started else None
    cells = [
        text_cell(record.trial),
        text_cell(record.stage),
        text_cell(outcome, TONES.get(outcome, "")),
        metric_cell(metric, record.score),
        Cell(str(record.best["epoch"]), record.best["epoch"]) if record.best else Cell(),
        Cell(duration(record.seconds), record.seconds),
        Cell(f"{begun:%Y-%m-%d %H:%M}", begun.isoformat()) if begun else Cell(),
    ]
    return Row(cells)


def costs(findings: Findings) -> Table | None:
    """Hours by stage and outcome."""
    if not findings.ended:
        return None
    spent = findings.spent
    rows = [row for name, stage in spent.stages.items() for row in _stage_rows(name, stage)]
    return Table(
        [Column("stage"), Column("ended"), *COST_COLUMNS],
        [*rows, _total("all", spent)],
        "cost",
        "Cost",
        COST_CAPTION,
    )


def total_cost(findings: Findings) -> Sequence[Cell]:
    """The cost of all trials, in the columns COST_COLUMNS."""
    return _total("all", findings.spent).cells[2:]


def _stage_rows(name: str, stage: StageSpent) -> Iterator[Row]:
    ends = {end: spent for end in ("finished", "stopped", "failed") if (spent := getattr(stage, end)).trials}
    for end, spent in ends.items():
        yield Row(_hours(name, end, stage.wall_hours if len(ends) == 1 else None, [spent]))
    if len(ends) > 1:
        yield _total(name, stage)


def _total(name: str, stage: StageSpent) -> Row:
    return Row(_hours(name, "all", stage.wall_hours, [stage.finished, stage.stopped, stage.failed]), tone="bold")


def _hours(name: str, end: str, wall: float | None, spent: Sequence[Hours]) -> list[Cell]:
    hours = [wall, *(sum(getattr(each, kind) for each in spent) for kind in ("hours", "cpu_hours", "gpu_hours"))]
    trials = sum(each.trials for each in spent)
    return [text_cell(name), text_cell(end), Cell(f"{trials:,}", trials),
            *(Cell("" if each is None else f"{each:,.2f}", each) for each in hours)]  # fmt: skip


def failures(findings: Findings) -> list[tuple[Record, str]]:
    """The failed trials and their errors."""
    return [(record, reason(record)) for record in findings.ended.values() if record.outcome == "failed"]
