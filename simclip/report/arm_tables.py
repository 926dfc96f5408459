"""The tables of arms: what the confirm stage says of them, and the search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simclip.cli.wording.formatting import Metric, main_metrics, p_value
from simclip.html.table import Cell, Table, difference, interval, number, untouched_row
from simclip.report.findings import Findings
from simclip.study.analysis.ranking import ArmResult, base_model_metrics
from simclip.study.analysis.verdict import ConfirmedArm
from simclip.study.store.records import Record


def confirmed_arms(findings: Findings) -> Iterator[Table]:
    """What the confirm stage says of each arm."""
    if (verdict := findings.verdict) is None:
        return
    metric = findings.confirmed
    columns = ["arm", "seeds", metric.title, "± sd", "95% interval", "vs control", "95% interval of it", "p (Holm)",
               "verdict", "seeds needed"]  # fmt: skip
    rows = [("control" if arm.control else "", confirmed_row(arm, metric)) for arm in verdict.arms]
    untouched = _score(findings.study.confirmed_metric, base_model_metrics(findings.confirm))
    rows.append(untouched_row(columns, {2: number(metric, untouched)}))
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
        number(metric, own.mean),
        number(metric, own.std),
        interval(metric.bare(own.low), metric.bare(own.high), own.low, own.high),
        Cell("reference", None, "dim") if arm.control else difference(metric, pair.mean if pair else None),
        Cell("") if pair is None else interval(
            metric.difference(pair.low), metric.difference(pair.high), pair.low, pair.high),
        Cell(p_value(arm.p), arm.p),
        Cell(arm.word or ("" if arm.control else "no verdict"), arm.word, (arm.word or "").replace(" ", "-")),
        Cell("" if arm.pairs_needed is None else f"{arm.pairs_needed:,}", arm.pairs_needed),
    ]  # fmt: skip


def searched_arms(findings: Findings) -> Iterator[Table]:
    """The search's arms, the best mean first."""
    if not findings.ranking:
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
    for arm in findings.ranking:
        records = [record for record in findings.search.values() if record.arm == arm.name]
        reference = findings.control is not None and arm.name == findings.control.name
        rows.append(("control" if reference else "", _searched(arm, records, findings, others)))
    start = base_model_metrics(findings.search)
    values = {2: number(metric, start.get("metric"))}
    values |= {5 + place: number(each, start.get(each.name)) for place, each in enumerate(others)}
    rows.append(untouched_row(columns, values))
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
        number(metric, arm.mean),
        number(metric, arm.std),
        Cell("reference", None, "dim") if reference else difference(metric, arm.difference),
        *(number(each, arm.metrics.get(each.name)) for each in others),
        Cell("–".join(map(str, spans)), "-".join(map(str, spans)), "number"),
        Cell(", ".join(ends), ", ".join(ends), "" if arm.complete else "warn"),
    ]


def _score(metric: str | Mapping[str, float], row: Mapping[str, float]) -> float | None:
    weights = {metric: 1.0} if isinstance(metric, str) else metric
    if any(name not in row for name in weights):
        return None
    return sum(weight * row[name] for name, weight in weights.items()) / sum(weights.values())
