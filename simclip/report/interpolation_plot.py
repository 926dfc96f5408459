"""The metrics of models between the base model and the confirmed ones, over alpha."""

from __future__ import annotations

from statistics import fmean

from matplotlib.figure import Figure

from simclip.cli.wording.formatting import Metric, main_metrics
from simclip.cli.wording.short_names import short_names
from simclip.html.figure import INK, LABEL, WIDTH, Picture, add_title
from simclip.report.findings import Findings
from simclip.study.interpolation.points import Interpolation


def alpha_curves(findings: Findings, found: Interpolation) -> Picture:
    """A panel per evaluation set with its main metric; the control and the best arms have colours."""
    study, alphas = findings.study, [*found.points]
    metrics = main_metrics([*study.test, *study.train.evaluation_sets])
    rows = -(-len(metrics) // 2)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.35 * rows))
    add_title(figure, "Between the base model and the trained ones")
    panels = iter(figure.subplots(rows, 2, squeeze=False).flat)
    arms = [arm for arm in reversed(findings.colours) if arm in found.arms]
    for metric, axes in zip(metrics, panels, strict=False):
        factor = 100 if metric.percent else 1
        for arm in arms:
            colour, lines = findings.colours[arm], found.values(arm, metric.name)
            mean = [factor * fmean(values) for values in zip(*lines, strict=True)]
            for line in lines:
                axes.plot(alphas, [factor * value for value in line], color=colour, alpha=0.35, linewidth=0.7)
            axes.plot(alphas, mean, color=colour, linewidth=2)
            place = alphas.index(found.chosen[arm])
            axes.plot([alphas[place]], [mean[place]], marker="o", markersize=6, color=colour)
        axes.set_title(metric.title, fontsize=9, loc="left", color=INK)
        axes.set_xticks([0, 0.5, 1], ["base", "alpha 0.5", "1"])
    for unused in panels:
        unused.set_axis_off()
    handles = [axes.plot([], [], color=findings.colours[arm])[0] for arm in reversed(arms)]
    figure.legend(handles, short_names([*reversed(arms)], LABEL), loc="outside lower left", ncols=2)
    return Picture(
        "alphas",
        "Between the base model and the trained ones",
        "Thick lines: mean over the confirm seeds; thin lines: single seeds; dots: the alpha of each arm, chosen on "
        f"{Metric.of(study.metric).name}.",
        "; ".join(
            f"{metric.name} at alpha 0, the chosen one and 1: "
            + ", ".join(f"{arm} {_three(found, arm, metric)}" for arm in reversed(arms))
            for metric in metrics
        ),
        figure,
    )


def _three(found: Interpolation, arm: str, metric: Metric) -> str:
    values = (found.means(arm, alpha)[metric.name] for alpha in (0.0, found.chosen[arm], 1.0))
    return " ".join(metric.formatted(value) for value in values)
