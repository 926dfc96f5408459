"""Tables of every metric of every evaluation set."""

from __future__ import annotations

from collections.abc import Mapping

from simclip.cli.wording.arm_tables import MANY
from simclip.cli.wording.formatting import Metric
from simclip.cli.wording.table import Cell, Column, Row, Table, metric_cell
from simclip.report.findings import Findings
from simclip.study.analysis.ranking import base_model_metrics


def confirmed_metrics(findings: Findings) -> Table | None:
    """Every metric of the confirmed arms."""
    if (verdict := findings.verdict) is None:
        return None
    arms = {arm.name: arm.metrics for arm in verdict.arms}
    return _metrics("confirmed-metrics", "Every metric, confirm stage", arms, base_model_metrics(findings.confirm))


def searched_metrics(findings: Findings) -> Table | None:
    """Every metric of the search's arms."""
    arms = {arm.name: arm.metrics for arm in findings.ranking if arm.metrics}
    return _metrics("metrics", "Every metric, search", arms, base_model_metrics(findings.search)) if arms else None


def _metrics(name: str, title: str, arms: Mapping[str, Mapping[str, float]], base: Mapping[str, float]) -> Table:
    """A row per metric and a column per arm: a study has many arms but a short list of metrics."""
    names = sorted((each for each in base if each != "metric"), key=lambda each: each.rpartition("/")[0] != "val")
    rows = []
    for each in names:
        metric = Metric.of(each)
        cells = [_compared(metric, values.get(each), base[each]) for values in arms.values()]
        rows.append(Row([Cell(metric.title, each), metric_cell(metric, base[each], "dim"), *cells]))
    return Table(
        [Column("metric"), *(Column(each, right=True) for each in ("base model", *arms))],
        rows,
        name,
        title,
        "Means over seeds at each trial's best epoch. ▼: worse than the base model, forgotten by fine-tuning.",
        len(rows) > MANY,
    )


def _compared(metric: Metric, value: float | None, base: float) -> Cell:
    if value is None:
        return Cell()
    forgotten = value < base if metric.percent else value > base
    return Cell(("▼ " if forgotten else "") + metric.bare(value), value, "bad" if forgotten else "")
