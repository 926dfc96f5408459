"""Tables of every metric of every evaluation set."""

from __future__ import annotations

from collections.abc import Mapping

from simclip.cli.wording.arm_tables import MANY
from simclip.cli.wording.formatting import Metric
from simclip.cli.wording.table import Cell, Column, Row, Table, metric_cell, text_cell
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
    """Metrics by arms: a row per metric while there are fewer arms than metrics, else a row per arm."""
    names = sorted((each for each in base if each != "metric"), key=lambda each: each.rpartition("/")[0] != "val")
    metrics = [Metric.of(each) for each in names]
    caption = "Means over seeds at each trial's best epoch. ▼: worse than the base model, forgotten by fine-tuning."

    def cells(values: Mapping[str, float]) -> list[Cell]:
        return [_compared(each, values.get(each.name), base[each.name]) for each in metrics]

    own = {"base model": [metric_cell(each, base[each.name], "dim") for each in metrics]}
    own |= {arm: cells(values) for arm, values in arms.items()}
    if len(own) <= len(names):
        columns = [Column("metric"), *(Column(each, right=True) for each in own)]
        rows = [
            Row([Cell(each.title, each.name), *(column[place] for column in own.values())])
            for place, each in enumerate(metrics)
        ]
    else:
        columns = [Column("arm"), *(Column(each.heading, right=True) for each in metrics)]
        rows = [Row([text_cell(arm), *line]) for arm, line in own.items()]
    return Table(columns, rows, name, title, caption, len(rows) > MANY)


def _compared(metric: Metric, value: float | None, base: float) -> Cell:
    if value is None:
        return Cell()
    forgotten = value < base if metric.percent else value > base
    return Cell(("▼ " if forgotten else "") + metric.bare(value), value, "bad" if forgotten else "")
