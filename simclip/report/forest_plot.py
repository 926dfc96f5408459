"""Plots that rank arms: the confirmed arms against the control, and the arms of the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes

from simclip.cli.wording.confirmed_arm import within
from simclip.cli.wording.formatting import Metric, counted
from simclip.cli.wording.short_names import short_names
from simclip.html.figure import BETTER, FAINT, INK, LABEL, WORSE, Picture, panel
from simclip.report.findings import Findings
from simclip.study.analysis.ranking import ArmResult
from simclip.study.analysis.verdict import ConfirmedArm, Verdict

Limits: TypeAlias = tuple[float, float]

#: Maximum number of arms in the plot of the search.
MOST_ARMS = 20
#: Opacity of the band of differences that do not matter.
MARGIN_SHADE = 0.08
WORD_COLOURS = {"better": BETTER, "worse": WORSE}


def forest(findings: Findings, limits: Limits | None = None) -> Iterator[Picture]:
    """The differences from the control with their simultaneous intervals and all seeds.

    Args:
        findings: The study's results.
        limits: Limits of the x axis, where several studies share one.
    """
    verdict, metric = findings.verdict, findings.confirmed
    if verdict is None or not (shown := _compared(verdict)):
        return
    control = next(arm for arm in verdict.arms if arm.control)
    title = "Difference from plain fine-tuning"
    figure, axes = panel(title, 1.1 + 0.62 * len(shown))
    if verdict.margin is not None:
        margin = verdict.margin * (100 if metric.percent else 1)
        axes.axvspan(-margin, margin, color=INK, alpha=MARGIN_SHADE, linewidth=0)
    names = short_names([arm.name for arm in shown], LABEL)
    for place, arm in enumerate(shown):
        by_seed = [score - control.scores[seed] for seed, score in arm.scores.items() if seed in control.scores]
        _row(axes, place, arm, by_seed, metric, label=names[place] + _look(verdict, arm))
    axes.set_ylim(len(shown) - 0.5, -0.62)
    low, high = limits or extent(findings) or (0.0, 0.0)
    pad = 0.05 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.set_yticks([])
    axes.grid(False)
    ends = ("worse", "better") if findings.study.mode == "max" else ("better", "worse")
    axes.set_xlabel(f"← {ends[0]}  |  {_unit(metric)}  |  {ends[1]} →")
    most = max(len(arm.scores) for arm in shown)
    yield Picture(
        "forest",
        title,
        f"Diamond: difference in {metric.name} on the same seeds; bar: its 95% interval, which holds for all arms "
        f"together; dots: the {counted(most, 'seed')}; vertical line: the control{_band(verdict, metric)}.",
        f"Forest plot of {metric.name}: " + "; ".join(f"{arm.name} {_written(metric, arm)}" for arm in shown),
        figure,
    )


def extent(findings: Findings) -> Limits | None:
    """The lowest and the highest value in a forest plot, including zero, in the units of its axis."""
    if (verdict := findings.verdict) is None or not (shown := _compared(verdict)):
        return None
    control = next(arm for arm in verdict.arms if arm.control)
    ends = [arm.gain for arm in shown if arm.gain is not None]
    ends += [end for arm in shown if arm.difference for end in (arm.difference.low, arm.difference.high)]
    ends += [arm.scores[seed] - control.scores[seed] for arm in shown for seed in arm.scores if seed in control.scores]
    margin, factor = verdict.margin or 0.0, 100 if findings.confirmed.percent else 1
    return factor * min(-margin, *ends), factor * max(margin, *ends)


def _compared(verdict: Verdict) -> list[ConfirmedArm]:
    return [arm for arm in verdict.arms if arm.gain is not None]


def _look(verdict: Verdict, arm: ConfirmedArm) -> str:
    """The look that decided about an arm, if not all arms were judged at the same."""
    several = len({each.look for each in verdict.arms if each.look}) > 1
    return f" (look at {counted(arm.look, 'seed')})" if several and arm.look else ""


def _band(verdict: Verdict, metric: Metric) -> str:
    """What the band of the margin is, at the end of the caption."""
    return f"; band: {within(metric, verdict.margin)}, which does not matter" if verdict.margin else ""


def _row(axes: Axes, place: int, arm: ConfirmedArm, by_seed: Sequence[float], metric: Metric, label: str) -> None:
    """Draw an arm: its name and look, and its difference above its bar, its seeds below."""
    colour, factor = WORD_COLOURS.get(arm.word or "", INK), 100 if metric.percent else 1
    axes.plot([0, 0], [place - 0.12, place + 0.36], color=INK, linewidth=1.2)
    if arm.difference:
        ends = [factor * arm.difference.low, factor * arm.difference.high]
        axes.plot(ends, [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot([factor * (arm.gain or 0.0)], [place], marker="D", markersize=7.5, color=colour)
    dots = [factor * each for each in by_seed]
    axes.scatter(dots, [place + 0.22] * len(dots), s=22, color=colour, alpha=0.45, linewidths=0)
    sides = ((0, "left", label, "bold"), (1, "right", _written(metric, arm), "normal"))
    for x, side, text, weight in sides:
        axes.text(
            x, place - 0.32, text, color=colour, fontweight=weight, va="center", ha=side,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def _unit(metric: Metric) -> str:
    return "percentage points" if metric.percent else metric.name


def _written(metric: Metric, arm: ConfirmedArm) -> str:
    text = metric.difference(arm.gain)
    if arm.difference:
        text += f"  [{metric.difference(arm.difference.low)}, {metric.difference(arm.difference.high)}]"
    return text.replace("-", "−")


def ranking(findings: Findings) -> Iterator[Picture]:
    """The arms of the search by their means, with all seeds."""
    arms = [arm for arm in findings.ranking if arm.mean is not None]
    if not arms:
        return
    shown = _chosen(arms, findings)
    metric, factor = findings.metric, 100 if findings.metric.percent else 1
    title = "Ranking of the arms in the search"
    figure, axes = panel(title, 1.05 + 0.27 * len(shown))
    if (control := findings.control) and control.mean is not None:
        axes.axvline(factor * control.mean, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    for place, arm in enumerate(shown):
        assert arm.mean is not None
        colour = findings.colours.get(arm.name, INK)
        faint = 1.0 if arm.name in findings.colours else 0.55
        scores = [factor * score for score in arm.scores.values()]
        axes.plot([min(scores), max(scores)], [place, place], color=colour, alpha=FAINT, linewidth=3)
        axes.scatter(scores, [place] * len(scores), s=20, color=colour, alpha=0.5 * faint, linewidths=0)
        axes.plot(
            [factor * arm.mean], [place], marker="|", markersize=12, markeredgewidth=2.2, color=colour, alpha=faint
        )
    axes.set_yticks(range(len(shown)), short_names([arm.name for arm in shown], LABEL))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(True, axis="x")
    axes.set_xlabel(metric.unit)
    which = f"The best {len(shown)} of {len(arms)} arms" if len(shown) < len(arms) else "All arms"
    yield Picture(
        "ranking",
        title,
        f"{which}. Vertical mark: mean over seeds; dots: single seeds; dashed line: the best control.",
        f"Arms ranked by {metric.name}: " + "; ".join(f"{arm.name} {metric.formatted(arm.mean)}" for arm in shown),
        figure,
    )


def _chosen(arms: list[ArmResult], findings: Findings) -> list[ArmResult]:
    best = arms[:MOST_ARMS]
    control = findings.control
    return best if control is None or control in best else [*best[:-1], control]
