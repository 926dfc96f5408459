"""What fine-tuning gains and forgets in comparison with the base model."""

from __future__ import annotations

from collections.abc import Iterator

from simclip.cli.wording.formatting import Metric
from simclip.cli.wording.short_names import short_names
from simclip.html.figure import FAINT, INK, LABEL, Picture, panel
from simclip.report.findings import Findings
from simclip.study.analysis.ranking import base_model_metrics


def gains(findings: Findings) -> Iterator[Picture]:
    """The base model, the control and the best arm with clusters on all evaluation sets."""
    verdict = findings.verdict
    means = {arm.name: arm.metrics for arm in (verdict.arms if verdict else findings.ranking) if arm.metrics}
    start = base_model_metrics(findings.confirm if verdict else findings.search)
    sets = [*findings.study.train.evaluation_sets, *(findings.study.test if verdict else [])]
    names = [name for each in sets for name in each.highlights([*start])]
    arms = [name for name in findings.colours if name in means][:2]
    if not names or not arms:
        return
    title = "Gained and forgotten"
    figure, axes = panel(title, 1.35 + 0.3 * len(names))
    for place, name in enumerate(names):
        values = [100 * start[name], *(100 * means[arm][name] for arm in arms)]
        axes.plot([min(values), max(values)], [place, place], color=INK, alpha=FAINT / 2, linewidth=2)
    places = range(len(names))
    axes.scatter([100 * start[name] for name in names], places, s=42, facecolors="none", edgecolors=INK, linewidths=1.4,
                 label="base model")  # fmt: skip
    for arm, label, marker in zip(arms, short_names(arms, LABEL), ("s", "D"), strict=False):
        colour = findings.colours[arm]
        axes.scatter([100 * means[arm][name] for name in names], places, s=38, marker=marker, color=colour, alpha=0.9,
                     linewidths=0, label=label, zorder=3)  # fmt: skip
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.grid(True, axis="x")
    axes.set_xlabel("percent")
    figure.legend(loc="outside lower left", ncols=2)
    alt = "; ".join(
        f"{name}: base model {Metric.of(name).formatted(start[name])}, "
        + ", ".join(f"{arm} {Metric.of(name).formatted(means[arm][name])}" for arm in arms)
        for name in names
    )
    yield Picture(
        "gains",
        title,
        "Means over seeds at the best epoch. A filled mark left of the ring: fine-tuning made this metric worse.",
        alt,
        figure,
    )
