"""Plots of the search itself: the importance of its parameters, and how well early rungs predict final scores."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.ticker import MaxNLocator

from simclip.cli.wording.formatting import counted
from simclip.cli.wording.short_names import short_names
from simclip.html.figure import BETTER, INK, LABEL, Picture, panel
from simclip.report.findings import Findings
from simclip.study.analysis.importance import importances
from simclip.study.analysis.rung_correlation import correlate_rungs
from simclip.train.config import TrainConfig


def importance_bars(findings: Findings) -> Iterator[Picture]:
    """The importance of the parameters of a random or Optuna search."""
    found = importances(findings)
    if found is None or not found.shares:
        return
    title = "Importance of the parameters"
    figure, axes = panel(title, 1.15 + 0.34 * len(found.shares))
    shares = [100 * share for share in found.shares.values()]
    axes.barh(range(len(shares)), shares, height=0.62, color=BETTER)
    for place, share in enumerate(shares):
        axes.annotate(f"{share:.0f}%", (share, place), (4, 0), textcoords="offset points", va="center")
    labels = [TrainConfig.traits(name).label for name in found.shares]
    axes.set_yticks(range(len(shares)), short_names(labels, LABEL))
    axes.set_ylim(len(shares) - 0.45, -0.55)
    axes.set_xlim(0, max(shares) * 1.14 or 1)
    axes.grid(False)
    axes.set_xlabel("importance in percent")
    yield Picture(
        "importance",
        title,
        f"{found.evaluator} of Optuna {found.version}: how differently a parameter is distributed among the best "
        f"{found.best} of {counted(found.settings, 'setting')}. {found.note or ''}".strip(),
        "Importance: " + "; ".join(f"{name} {100 * share:.0f}%" for name, share in found.shares.items()),
        figure,
    )


def rung_correlations(findings: Findings) -> Iterator[Picture]:
    """The rank correlation between the scores at each of ASHA's rungs and the final scores."""
    found = [rung for rung in correlate_rungs(findings) if rung.correlation is not None]
    if not found:
        return
    title = "Do early epochs predict the final scores?"
    figure, axes = panel(title, 2.7)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.plot([rung.epoch for rung in found], [rung.correlation or 0.0 for rung in found], "o-", color=BETTER)
    for rung in found:
        axes.annotate(f"{rung.correlation:.2f}".replace("-", "−"), (rung.epoch, rung.correlation or 0.0), (0, 7),
                      textcoords="offset points", ha="center")  # fmt: skip
    axes.set_ylim(min(-0.05, *(rung.correlation or 0.0 for rung in found)) - 0.1, 1.18)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch of the rung")
    axes.set_ylabel("Spearman's correlation")
    counts = sorted({rung.n for rung in found})
    yield Picture(
        "rungs",
        title,
        "Rank correlation between the metric at each of ASHA's rungs and the final score, over the "
        f"{' to '.join(map(str, counts))} trials that finished. Near 1, it is safe to stop trials at that epoch.",
        "Rank correlation by epoch: " + "; ".join(f"{rung.epoch}: {rung.correlation:.2f}" for rung in found),
        figure,
    )
