"""Models between the base model and the confirmed ones, in sentences and tables for a terminal and a report."""

from __future__ import annotations

from dataclasses import replace

from simclip.cli.wording.arm_tables import confirm_cells, confirm_columns
from simclip.cli.wording.confirmed_arm import METHOD, arm_sentence, method_sentences
from simclip.cli.wording.formatting import Metric
from simclip.cli.wording.table import Cell, Column, Row, Table, metric_cell, text_cell
from simclip.evaluation.objective import objective
from simclip.study.interpolation.points import Interpolation


def interpolation_sentences(found: Interpolation) -> list[str]:
    """Whether each arm beats plain fine-tuning when both are interpolated, and how alpha was chosen."""
    verdict, study = found.judged.verdict, found.results.study
    assert verdict is not None
    rival = f"{METHOD} at alpha {found.chosen[found.control]:g}"
    lines = []
    for arm in verdict.arms:
        if not arm.control:
            named = replace(arm, name=f"{arm.name} at alpha {found.chosen[arm.name]:g} against {rival}")
            lines.append(arm_sentence(verdict, named))
    chosen = ", ".join(f"{alpha:g} for {arm}" for arm, alpha in found.chosen.items())
    metric = Metric.of(study.metric).name
    lines.append(
        f"Alpha is the share of the trained weights: 0 is the base model, 1 the trained one. Of {len(found.points)} "
        f"values, the one with the best mean {metric} over the confirm seeds was chosen for each arm and the control: "
        f"{chosen}."
    )
    if verdict.on_test:
        lines.append(f"{metric} is of validation data; the arms are compared on test sets, which chose nothing.")
    else:
        lines.append("Without a test set, alpha was chosen on the data that is compared: all figures are optimistic.")
    lines.append(f"This comparison has a level of 5% of its own, beside the study's. {next(method_sentences(verdict))}")
    gap = found.deviation
    same = "to the bit" if not gap else f"within {gap:.1g} (rounding of merged adapters, or another machine)"
    lines.append(f"At alpha 0 and 1, all metrics are those that the trials have recorded, {same}.")
    return lines


def interpolation_table(found: Interpolation) -> Table:
    """The confirmed arms at their alphas, the best difference from the control first, then the base model."""
    verdict = found.judged.verdict
    assert verdict is not None
    metric = Metric.of(verdict.metric)

    def at(arm: str, alpha: float) -> Cell:
        return metric_cell(metric, objective(verdict.metric, found.means(arm, alpha)))

    name, seeds, *rest = confirm_columns(metric, metric.heading)
    columns = [name, Column("alpha", right=True), seeds, Column("at \nalpha 1", right=True, priority=1), *rest]
    rows = []
    for arm in verdict.arms:
        first, count, *others = confirm_cells(found.judged, arm)
        alpha = found.chosen[arm.name]
        rows.append(Row([first, Cell(f"{alpha:g}", alpha), count, at(arm.name, 1.0), *others]))
    base = [text_cell("base model"), Cell("0", 0.0), Cell(), Cell(), at(found.control, 0.0)]
    rows.append(Row([*base, *(Cell() for _ in columns[len(base) :])], tone="dim", separate=True))
    caption = "Each arm at its alpha against the control at its own."
    return Table(columns, rows, "interpolated", "Interpolated with the base model", caption).without_empty_columns()


def alpha_table(found: Interpolation) -> Table:
    """Every metric of the arms over alpha, as means over seeds."""
    names = [name for name in found.means(found.control, 1.0) if name != "metric"]
    metrics = [Metric.of(name) for name in names]
    rows = [
        Row([text_cell(arm), Cell(f"{alpha:g}", alpha), *_cells(metrics, found.means(arm, alpha))], separate=not place)
        for arm in found.arms
        for place, alpha in enumerate(found.points)
    ]
    columns = [
        Column("arm"),
        Column("alpha", right=True),
        *(Column(each.heading, right=True) for each in metrics),
    ]
    return Table(columns, rows, "alphas", "Every metric over alpha", "Means over the confirm seeds.", collapsed=True)


def _cells(metrics: list[Metric], means: dict[str, float]) -> list[Cell]:
    return [metric_cell(each, means[each.name]) for each in metrics]
