"""Learning curves, with the schedule of the proportion p and the coverage of the data below them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simclip.cli.wording.short_names import short_names
from simclip.clusters.coverage import SEEN
from simclip.html.figure import FAINT, INK, LABEL, WIDTH, Picture, add_title
from simclip.report.findings import Findings
from simclip.study.spec.arms import Stage
from simclip.study.store.records import Record

#: Line widths of the schedules: they often coincide, and decreasing widths keep all of them visible.
WIDTHS = (5.4, 4.0, 2.8, 1.8, 1.0)
#: Largest part of the plot that the step from the base model may take; beyond it, the base model is left out.
MOST_STEP = 0.4


def learning_curves(findings: Findings) -> Iterator[Picture]:
    """A picture per stage with at least one trained epoch, including running trials."""
    stages: tuple[Stage, ...] = ("search", "confirm")
    for stage in stages:
        records = {name: record for name, record in findings.of_stage(stage).items() if len(record.history) > 1}
        if records:
            yield _drawn(findings, f"curves-{stage}", f"Learning curves of the {stage} stage", records)


def _drawn(findings: Findings, name: str, title: str, records: Mapping[str, Record]) -> Picture:
    covered = any(SEEN in row for record in records.values() for row in record.history)
    figure = Figure(figsize=(WIDTH, 5.4 if covered else 4.5))
    add_title(figure, title)
    above, *panels = figure.subplots(2 + covered, 1, sharex=True, height_ratios=(3.2, 1, 1)[: 2 + covered])
    by_arm: dict[str, list[Record]] = {}
    for record in records.values():
        by_arm.setdefault(record.arm, []).append(record)
    factor = 100 if findings.metric.percent else 1
    coloured = [arm for arm in findings.colours if arm in by_arm]
    for arm in [*(arm for arm in by_arm if arm not in coloured), *reversed(coloured)]:
        _curve(above, by_arm[arm], findings.colours.get(arm), factor, findings)
    _schedules(panels[0], {arm: by_arm[arm][0] for arm in coloured}, findings)
    if covered:
        _coverage(panels[1], {arm: by_arm[arm] for arm in coloured}, findings)
    above.set_ylabel(findings.metric.unit)
    clipped = _focus(above, [[factor * row["metric"] for row in record.history] for record in records.values()])
    base = findings.metric.formatted(next(iter(records.values())).history[0]["metric"])
    start = f" The base model ({base}) lies outside the plot."
    figure.align_ylabels([above, *panels])
    panels[-1].set_xlabel("epoch (0: the base model)")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    handles = [above.plot([], [], color=findings.colours[arm])[0] for arm in coloured]
    names = short_names(coloured, LABEL)
    if len(by_arm) > len(coloured):
        handles += above.plot([], [], color=INK, alpha=FAINT)
        names += ["others"]
    figure.legend(handles, names, loc="outside lower left", ncols=2)
    finals = "; ".join(f"{arm} {findings.metric.formatted(_final(by_arm[arm]))}" for arm in coloured)
    return Picture(
        name,
        title,
        "Thick lines: mean over the seeds that have reached an epoch; thin lines: single seeds; below: proportion p "
        f"of each batch that consists of clusters{', and share of the rows that an epoch saw' if covered else ''}."
        f"{start if clipped else ''}",
        f"{findings.metric.name} by epoch and p by epoch. Mean of the best epochs: {finals}",
        figure,
    )


def _curve(axes: Axes, records: list[Record], colour: str | None, factor: int, findings: Findings) -> None:
    lines = [[factor * row["metric"] for row in record.history] for record in records]
    longest = max(map(len, lines))
    mean = [fmean(line[epoch] for line in lines if len(line) > epoch) for epoch in range(longest)]
    if colour is None:
        axes.plot(range(longest), mean, color=INK, alpha=FAINT, linewidth=1)
        return
    for line in lines:
        axes.plot(range(len(line)), line, color=colour, alpha=0.4, linewidth=0.8)
    axes.plot(range(longest), mean, color=colour, linewidth=2.2)


def _focus(axes: Axes, lines: list[list[float]]) -> bool:
    """Leave out the base model where it would flatten the curves; returns whether it did."""
    trained = [value for line in lines for value in line[1:]]
    low, high = min(trained), max(trained)
    start = [line[0] for line in lines]
    reach = max(low - min(start), max(start) - high)
    if reach <= MOST_STEP * (high - low) or high == low:
        return False
    pad = 0.06 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    return True


def _schedules(axes: Axes, arms: Mapping[str, Record], findings: Findings) -> None:
    widths = iter(WIDTHS)
    for arm, record in arms.items():
        plain = record.config.is_control
        steps = [0.0] * record.config.epochs if plain else record.config.proportion_by_epoch
        width = 1.8 if plain else next(widths)
        axes.stairs(steps, range(len(steps) + 1), baseline=None, color=findings.colours[arm], linewidth=width)
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("p")


def _coverage(axes: Axes, arms: Mapping[str, list[Record]], findings: Findings) -> None:
    """The share of rows that each epoch saw, as means over seeds."""
    for arm, records in arms.items():
        lines = [[100 * row.get(SEEN, math.nan) for row in record.history[1:]] for record in records]
        steps = [fmean(line[epoch] for line in lines if len(line) > epoch) for epoch in range(max(map(len, lines)))]
        axes.stairs(steps, range(len(steps) + 1), baseline=None, color=findings.colours[arm], linewidth=1.8)
    axes.set_ylim(-6, 106)
    axes.set_yticks([0, 50, 100])
    axes.set_ylabel("rows seen, %")


def _final(records: list[Record]) -> float | None:
    scores = [record.score for record in records if record.score is not None]
    return fmean(scores) if scores else None
