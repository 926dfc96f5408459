"""The tables of every metric of every evaluation set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simclip.cli.wording.formatting import Metric
from simclip.html.table import Cell, Table, number
from simclip.report.findings import Findings
from simclip.study.analysis.ranking import base_model_metrics


def metrics_of(findings: Findings) -> list[Table]:
    """Every metric of the stage that decides."""
    return [*confirmed_metrics(findings)] or [*searched_metrics(findings)]


def confirmed_metrics(findings: Findings) -> Iterator[Table]:
    """Every metric of the confirmed arms."""
    if verdict := findings.verdict:
        arms = {arm.name: arm.metrics for arm in verdict.arms}
        yield _metrics("confirmed-metrics", "Every metric, confirm stage", arms, base_model_metrics(findings.confirm))


def searched_metrics(findings: Findings) -> Iterator[Table]:
    """Every metric of the search's arms."""
    arms = {arm.name: arm.metrics for arm in findings.ranking if arm.metrics}
    if arms:
        yield _metrics("metrics", "Every metric, search", arms, base_model_metrics(findings.search))


def _metrics(name: str, title: str, arms: Mapping[str, Mapping[str, float]], base_model: Mapping[str, float]) -> Table:
    """A row per metric, a column per arm: arms are many, but each has the same short list of metrics."""
    names = [each for each in base_model if each != "metric"]
    rows = []
    for each in sorted(names, key=lambda each: each.rpartition("/")[0] != "val"):
        metric = Metric.of(each)
        cells = [_against(metric, values.get(each), base_model[each]) for values in arms.values()]
        rows.append(("", [Cell(metric.title, each), number(metric, base_model[each], "dim"), *cells]))
    return Table(
        name,
        title,
        "Means over seeds at each trial's best epoch. ▼ marks what is worse than in the untouched model: what "
        "fine-tuning forgets.",
        ["metric", "untouched", *arms],
        rows,
        long=len(rows) > 30,
    )


def _against(metric: Metric, value: float | None, base_model: float) -> Cell:
    if value is None:
        return Cell("")
    forgotten = value < base_model if metric.percent else value > base_model
    return Cell(("▼ " if forgotten else "") + metric.bare(value), value, "worse" if forgotten else "")
