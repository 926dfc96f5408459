"""Plots of scores by parameters: heat maps of k by p, and lines over the values of each parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from simclip.cli.wording.formatting import Metric
from simclip.cli.wording.short_names import short_names
from simclip.html.figure import ARM_COLOURS, BETTER, INK, WORSE, Picture, panel
from simclip.report.findings import Findings
from simclip.study.analysis.heat_map import Band, Cell, HeatMap, heat_maps
from simclip.study.analysis.parameter_effects import Line, ParameterEffect, Point, Scale, parameter_effects
from simclip.train.config import TrainConfig

#: Opacity of the strongest cell, on which text stays legible on light and on dark backgrounds.
STRONGEST = 0.5
#: Number of values on an axis above which labels are rotated.
MOST_UPRIGHT = 6
#: Labels of numbers that fit side by side on an axis.
MOST_LABELS = 7
#: Difference with the full colour, in standard deviations over seeds, unless a larger one exists: noise stays pale.
FULL_COLOUR = 3.0
STOPPED = " ■: includes trials that ASHA stopped, with their score so far."


def maps(findings: Findings, strongest: float | None = None) -> Iterator[Picture]:
    """A heat map for constant p and one for p with warm-up, on the same colour scale.

    Args:
        findings: The study's results.
        strongest: The difference with the full colour, where several studies share the scale.
    """
    strongest = strongest or full_colour(findings)
    for number, each in enumerate(heat_maps(findings), 1):
        yield _map(each, f"map-{number}", findings, strongest)


def full_colour(findings: Findings) -> float:
    """The largest difference in a study's heat maps, at least three standard deviations over its seeds."""
    cells = [cell for each in heat_maps(findings) for row in each.cells for cell in row if cell]
    variances = [arm.std**2 for arm in findings.ranking if arm.std is not None]
    noise = FULL_COLOUR * fmean(variances) ** 0.5 if variances else 0.0
    return max([noise, *(abs(cell.difference) for cell in cells if cell.difference is not None)]) or 1.0


def _map(found: HeatMap, name: str, findings: Findings, strongest: float) -> Picture:
    metric, sign = findings.metric, 1 if findings.study.mode == "max" else -1
    title = f"Cluster size by proportion: {found.title}"
    figure, axes = panel(title, 1.5 + 0.52 * len(found.rows))
    for y, row in enumerate(found.cells):
        for x, cell in enumerate(row):
            _cell(axes, x, y, cell, sign / strongest, metric, upright=len(row) <= MOST_UPRIGHT)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    axes.set_ylim(-0.5, len(found.rows) - 0.5)
    axes.set_xticks(range(len(found.columns)), [_ends(band, "\n–") for band in found.columns])
    axes.set_yticks(range(len(found.rows)), [_ends(band, "–") for band in found.rows])
    axes.tick_params(length=0)
    axes.tick_params(axis="x", rotation=0 if len(found.columns) <= MOST_UPRIGHT else 90)
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)
    axes.set_xlabel("proportion p" + (" in the end" if found.warmup else ""))
    axes.set_ylabel("cluster size k")
    _key(figure)
    cells = [(k, p, cell) for k, row in zip(found.rows, found.cells, strict=True)
             for p, cell in zip(found.columns, row, strict=True) if cell]  # fmt: skip
    listed = "; ".join(f"k {k.label}, p {p.label}: {_difference(metric, cell)}" for k, p, cell in cells)
    unit = "percentage points" if metric.percent else metric.name
    control = f" (the control has {metric.formatted(found.control)})" if found.control is not None else ""
    small = f"; small: mean {metric.name}{control}" if len(found.columns) <= MOST_UPRIGHT else control
    return Picture(
        name,
        title,
        f"Bold: mean difference from the control in {unit}{small}; the stronger the "
        f"colour, the larger the difference.{STOPPED if any(cell.stopped for *_, cell in cells) else ''}",
        f"{title}, difference in {metric.name}. {listed}",
        figure,
    )


def _ends(band: Band, between: str) -> str:
    """The ends of a band, short enough for a narrow cell."""
    return f"{band.low:.3g}" if band.low == band.high else f"{band.low:.3g}{between}{band.high:.3g}"


def _cell(axes: Axes, x: int, y: int, cell: Cell | None, scale: float, metric: Metric, upright: bool) -> None:
    gain = scale * cell.difference if cell and cell.difference is not None else 0.0
    colour = to_rgba(BETTER if gain > 0 else WORSE, STRONGEST * min(1.0, abs(gain)))
    box = FancyBboxPatch(
        (x - 0.44, y - 0.43), 0.88, 0.86, boxstyle="round,pad=0,rounding_size=0.06", facecolor=colour,
        edgecolor=to_rgba(INK, 0.12), linewidth=0.7,
    )  # fmt: skip
    axes.add_patch(box)
    if cell is None:
        axes.text(x, y, "–", ha="center", va="center", alpha=0.45)
        return
    large, small = _difference(metric, cell), "" if cell.difference is None else metric.bare(cell.mean)
    if not upright:
        large += " ■" * bool(cell.stopped)
        axes.text(x, y, large, ha="center", va="center", fontweight="bold", rotation=90)
        return
    axes.text(x, y + 0.12, large, ha="center", va="center", fontweight="bold", fontsize=10.5)
    axes.text(x, y - 0.24, small + " ■" * bool(cell.stopped), ha="center", va="center", alpha=0.9, fontsize=8)


def _difference(metric: Metric, cell: Cell) -> str:
    return metric.bare(cell.mean) if cell.difference is None else metric.difference(cell.difference).replace("-", "−")


def _key(figure: Figure) -> None:
    swatches = [Patch(facecolor=to_rgba(colour, STRONGEST)) for colour in (BETTER, WORSE)]
    figure.legend(swatches, ["better than the control", "worse"], loc="outside lower left", ncols=2)


def effect_lines(findings: Findings) -> Iterator[Picture]:
    """A plot per parameter."""
    for effect in parameter_effects(findings):
        yield _effect(effect, findings)


def _effect(effect: ParameterEffect, findings: Findings) -> Picture:
    metric, factor = findings.metric, 100 if findings.metric.percent else 1
    parameter = TrainConfig.traits(effect.parameter).label
    title = f"By {parameter}"
    named = [line for line in effect.lines if line.name]
    figure, axes = panel(title, 2.9 + 0.2 * ((len(named) + 1) // 2))
    if effect.control:
        _reference(axes, effect.control, factor)
    for number, line in enumerate(effect.lines):
        _line(axes, line, effect, factor, number, len(effect.lines))
    _x_axis(axes, effect)
    axes.set_xlabel(parameter)
    axes.set_ylabel(metric.unit)
    if named or effect.control:
        figure.legend(loc="outside lower left", ncols=2)
    spread = any(point.std for line in effect.lines for point in line.points)
    band = "band" if effect.joined else "bar"
    how = f"Mean over all arms with that value; {band}: ± one standard deviation over seeds" if spread else (
        "Mean over all arms with that value, on one seed")  # fmt: skip
    return Picture(
        f"over-{effect.parameter}",
        title,
        f"{how}; dashed line: the control.",
        f"{metric.name} over {effect.parameter}. " + " ".join(_in_words(line, metric) for line in effect.lines),
        figure,
    )


def _reference(axes: Axes, control: Point, factor: int) -> None:
    axes.axhline(factor * control.mean, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="control")
    if control.std:
        axes.axhspan(
            factor * (control.mean - control.std),
            factor * (control.mean + control.std),
            color=INK,
            alpha=0.08,
            linewidth=0,
        )


def _line(axes: Axes, line: Line, effect: ParameterEffect, factor: int, number: int, lines: int) -> None:
    colour = [*ARM_COLOURS][number % len(ARM_COLOURS)]
    # Bars of several lines at the same value are drawn side by side.
    shift = 0.0 if effect.joined or effect.scale != "category" else 0.12 * (number - (lines - 1) / 2)
    xs = [point.x + shift for point in line.points]
    ys = [factor * point.mean for point in line.points]
    deviations = [factor * (point.std or 0.0) for point in line.points]
    label = line.name or ("arms" if effect.control else None)
    axes.plot(xs, ys, "o-" if effect.joined else "o", color=colour, markersize=5.5, label=label)
    if effect.joined and any(deviations):
        low, high = zip(*((y - d, y + d) for y, d in zip(ys, deviations, strict=True)), strict=True)
        axes.fill_between(xs, low, high, color=colour, alpha=0.16, linewidth=0)
    elif any(deviations):
        axes.errorbar(xs, ys, deviations, fmt="none", color=colour, alpha=0.7, elinewidth=1.6)


def _x_axis(axes: Axes, effect: ParameterEffect) -> None:
    labels = {point.x: point.label for line in effect.lines for point in line.points}
    if effect.scale == "log":
        axes.set_xscale("log")
    if effect.joined or effect.scale == "category":
        slanted = len(labels) > MOST_UPRIGHT or max(map(len, labels.values()), default=0) > 60 / len(labels)
        ticks = sorted(labels)
        short = short_names([labels[x] for x in ticks], 18)
        shown = set(ticks if effect.scale == "category" else _apart(ticks, effect.scale))
        axes.set_xticks(ticks, [label if x in shown else "" for x, label in zip(ticks, short, strict=True)])
        axes.tick_params(axis="x", rotation=30 if slanted and effect.scale == "category" else 0)
        axes.xaxis.set_minor_locator(NullLocator())
    elif effect.scale == "log":
        decades = math.log10(max(labels) / min(labels))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades <= 2 else (1,), numticks=7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    if effect.scale == "category":
        axes.set_xlim(min(labels) - 0.5, max(labels) + 0.5)


def _apart(ticks: Sequence[float], scale: Scale) -> list[float]:
    """The ticks whose labels do not overlap: the last one, and every earlier one that is far enough from the next."""
    places = [math.log(tick) if scale == "log" else tick for tick in ticks]
    least = (places[-1] - places[0]) / MOST_LABELS
    kept: list[int] = []
    for number in reversed(range(len(ticks))):
        if not kept or places[kept[-1]] - places[number] >= least:
            kept.append(number)
    return [ticks[number] for number in kept]


def _in_words(line: Line, metric: Metric) -> str:
    points: Sequence[Point] = line.points
    head = f"{line.name}: " if line.name else ""
    return head + ", ".join(f"{point.label} {metric.formatted(point.mean)}" for point in points) + "."
