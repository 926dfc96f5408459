"""The tables of a report, for the page and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from simclip.checkpoint import Row
from simclip.face.figures import Metric, duration, main_metrics, p_value, reason
from simclip.face.report.findings import Findings
from simclip.study.cost import Spent, StageCost, cost
from simclip.study.ranking import ArmResult, mean_metrics
from simclip.study.records import Record, write_atomically
from simclip.study.verdict import ConfirmedArm

#: Of a training epoch: no metric of an evaluation set.
NO_SCORES = ("metric", "train/")


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


def tables(findings: Findings) -> list[Table]:
    """All tables that there is something to put into."""
    makers = (confirmed_arms, searched_arms, confirmed_metrics, searched_metrics, all_trials, costs)
    return [table for maker in makers for table in maker(findings)]


def confirmed_arms(findings: Findings) -> Iterator[Table]:
    """What the confirm stage says of each arm."""
    if (verdict := findings.verdict) is None:
        return
    metric = findings.confirmed
    columns = ["arm", "seeds", metric.title, "± sd", "95% interval", "vs control", "95% interval of it", "p (Holm)",
               "verdict", "seeds needed"]  # fmt: skip
    rows = [("control" if arm.control else "", confirmed_row(arm, metric)) for arm in verdict.arms]
    untouched = _score(findings.study.confirmed_metric, findings.untouched(findings.confirm))
    rows.append(_untouched_row(columns, {2: _number(metric, untouched)}))
    yield Table(
        "confirmed",
        "Confirmed arms",
        "Fresh seeds, paired with the control by seed. p: two-sided paired t test, corrected by Holm's method for the "
        "arms confirmed. Seeds needed: how many it would take to see a true difference of the size observed, four "
        "times out of five. Intervals cover the noise of seeds only.",
        columns,
        rows,
    )


def confirmed_row(arm: ConfirmedArm, metric: Metric) -> list[Cell]:
    """An arm of the confirm stage, its name first."""
    own, pair = arm.spread, arm.paired.spread if arm.paired else None
    return [
        Cell(arm.name, arm.name),
        Cell(str(own.n), own.n),
        _number(metric, own.mean),
        _number(metric, own.std),
        _interval(metric.bare(own.low), metric.bare(own.high), own.low, own.high),
        Cell("reference", None, "dim") if arm.control else _difference(metric, pair.mean if pair else None),
        Cell("") if pair is None else _interval(
            metric.difference(pair.low), metric.difference(pair.high), pair.low, pair.high),
        Cell(p_value(arm.p), arm.p),
        Cell(arm.word or ("" if arm.control else "no verdict"), arm.word, (arm.word or "").replace(" ", "-")),
        Cell("" if arm.pairs_needed is None else f"{arm.pairs_needed:,}", arm.pairs_needed),
    ]  # fmt: skip


def searched_arms(findings: Findings) -> Iterator[Table]:
    """The search's arms, the best mean first."""
    if not findings.arms:
        return
    metric = findings.metric
    others = [each for each in main_metrics(findings.study.train.evaluation_sets) if each.name != metric.name]
    columns = [
        "arm",
        "seeds",
        metric.title,
        "± sd",
        "vs control",
        *(each.title for each in others),
        "best epoch",
        "ended",
    ]
    rows = []
    for arm in findings.arms:
        records = [record for record in findings.search.values() if record.arm == arm.name]
        reference = findings.control is not None and arm.name == findings.control.name
        rows.append(("control" if reference else "", _searched(arm, records, findings, others)))
    start = findings.untouched(findings.search)
    values = {2: _number(metric, start.get("metric"))}
    values |= {5 + place: _number(each, start.get(each.name)) for place, each in enumerate(others)}
    rows.append(_untouched_row(columns, values))
    unit = ", in percentage points" if metric.percent else ""
    yield Table(
        "arms",
        "Arms of the search",
        f"Means over seeds at each trial's best epoch; vs control: mean difference on the seeds that both have{unit}.",
        columns,
        rows,
        long=len(rows) > 30,
    )


def _searched(arm: ArmResult, records: list[Record], findings: Findings, others: list[Metric]) -> list[Cell]:
    metric, control = findings.metric, findings.control
    reference = control is not None and arm.name == control.name
    epochs = [record.best["epoch"] for record in records if record.best]
    spans = sorted({min(epochs), max(epochs)}) if epochs else []
    ends = [f"{count} {end}" for end in ("finished", "stopped", "failed")
            if (count := sum(record.outcome == end for record in records))]  # fmt: skip
    return [
        Cell(arm.name, arm.name),
        Cell(str(len(arm.scores)), len(arm.scores)),
        _number(metric, arm.mean),
        _number(metric, arm.std),
        Cell("reference", None, "dim") if reference else _difference(metric, arm.difference),
        *(_number(each, arm.metrics.get(each.name)) for each in others),
        Cell("–".join(map(str, spans)), "-".join(map(str, spans)), "number"),
        Cell(", ".join(ends), ", ".join(ends), "" if arm.complete else "warn"),
    ]


def metrics_of(findings: Findings) -> list[Table]:
    """Every metric of the stage that decides."""
    return [*confirmed_metrics(findings)] or [*searched_metrics(findings)]


def total_cost(findings: Findings) -> list[Cell]:
    """What all of a study's trials took."""
    return _total("all", cost(findings.study, findings.ended))[1]


def confirmed_metrics(findings: Findings) -> Iterator[Table]:
    """Every metric of the confirmed arms."""
    if verdict := findings.verdict:
        arms = {arm.name: arm.metrics for arm in verdict.arms}
        yield _metrics("confirmed-metrics", "Every metric, confirm stage", arms, findings.untouched(findings.confirm))


def searched_metrics(findings: Findings) -> Iterator[Table]:
    """Every metric of the search's arms."""
    arms = {arm.name: arm.metrics for arm in findings.arms if arm.metrics}
    if arms:
        yield _metrics("metrics", "Every metric, search", arms, findings.untouched(findings.search))


def _metrics(name: str, title: str, arms: Mapping[str, Mapping[str, float]], start: Row) -> Table:
    """A row per metric, a column per arm: arms are many, but each has the same short list of metrics."""
    untouched = mean_metrics([start])
    names = [each for each in untouched if not each.startswith(NO_SCORES)]
    rows = []
    for each in sorted(names, key=lambda each: each.rpartition("/")[0] != "val"):
        metric = Metric.of(each)
        cells = [_against(metric, values.get(each), untouched[each]) for values in arms.values()]
        rows.append(("", [Cell(metric.title, each), _number(metric, untouched[each], "dim"), *cells]))
    return Table(
        name,
        title,
        "Means over seeds at each trial's best epoch. ▼ marks what is worse than in the untouched model: what "
        "fine-tuning forgets.",
        ["metric", "untouched", *arms],
        rows,
        long=len(rows) > 30,
    )


def _against(metric: Metric, value: float | None, untouched: float) -> Cell:
    if value is None:
        return Cell("")
    forgotten = value < untouched if metric.percent else value > untouched
    return Cell(("▼ " if forgotten else "") + metric.bare(value), value, "worse" if forgotten else "")


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
            _number(findings.metric, record.score),
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
    spent = cost(findings.study, findings.ended)
    rows = [row for name, stage in spent.stages.items() for row in _stage_cost(name, stage)]
    rows.append(_total("all", spent))
    yield Table(
        "cost",
        "Cost",
        "In hours. Wall: the time in which at least one of the trials ran; CPU and GPU: what the trials had reserved.",
        ["stage", "ended", "trials", "wall h", "trial h", "CPU h", "GPU h"],
        rows,
    )


def _stage_cost(name: str, stage: StageCost) -> Iterator[tuple[str, list[Cell]]]:
    ends = {end: spent for end in ("finished", "stopped", "failed") if (spent := getattr(stage, end)).trials}
    for end, spent in ends.items():
        yield "", _spent(name, end, stage.wall_hours if len(ends) == 1 else None, [spent])
    if len(ends) > 1:
        yield _total(name, stage)


def _total(name: str, stage: StageCost) -> tuple[str, list[Cell]]:
    return "total", _spent(name, "all", stage.wall_hours, [stage.finished, stage.stopped, stage.failed])


def _spent(name: str, end: str, wall: float | None, spent: list[Spent]) -> list[Cell]:
    hours = [wall, *(sum(getattr(each, kind) for each in spent) for kind in ("hours", "cpu_hours", "gpu_hours"))]
    trials = sum(each.trials for each in spent)
    return [Cell(name, name), Cell(end, end), Cell(f"{trials:,}", trials),
            *(Cell("" if each is None else f"{each:,.2f}", each) for each in hours)]  # fmt: skip


def failures(findings: Findings) -> list[tuple[Record, str]]:
    """The trials that failed, and what they died of."""
    return [(record, reason(record)) for record in findings.ended.values() if record.outcome == "failed"]


def _untouched_row(columns: list[str], values: Mapping[int, Cell]) -> tuple[str, list[Cell]]:
    cells = [values.get(place, Cell("")) for place in range(1, len(columns))]
    return "untouched", [Cell("untouched model", "untouched"), *cells]


def _number(metric: Metric, value: float | None, style: str = "") -> Cell:
    return Cell(metric.bare(value), value, style)


def _difference(metric: Metric, value: float | None) -> Cell:
    return Cell(metric.difference(value).replace("-", "−"), value)


def _interval(low_text: str, high_text: str, low: float | None, high: float | None) -> Cell:
    if low is None or high is None:
        return Cell("")
    return Cell(f"{low_text} … {high_text}".replace("-", "−"), f"{low!r} to {high!r}", "number")


def _score(metric: str | Mapping[str, float], row: Row) -> float | None:
    weights = {metric: 1.0} if isinstance(metric, str) else metric
    if any(name not in row for name in weights):
        return None
    return sum(weight * row[name] for name, weight in weights.items()) / sum(weights.values())
