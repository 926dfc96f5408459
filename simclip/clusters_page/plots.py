"""Two plots: the similarity of neighbours, and the rows that max_similarity leaves out."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import PercentFormatter

from simclip.clusters.survey import Survey
from simclip.html.figure import ARM_COLOURS, INK, Picture, panel

BLUE, ORANGE, GREEN = list(ARM_COLOURS)[:3]
BINS = 80
POINTS = 200


def similarities(survey: Survey, threshold: float) -> Picture:
    """Histograms of cosine similarity for random pairs, all neighbours in clusters, and nearest neighbours."""
    figure, axes = panel("How similar neighbours are", 2.9)
    shown = {
        "any two rows": (survey.random, INK, 0.35),
        "in a neighbourhood": (survey.cosines.ravel(), BLUE, 1.0),
        "nearest neighbours": (survey.nearest, ORANGE, 1.0),
    }
    low = min(float(np.median(survey.random)), float(survey.cosines.min()), threshold)
    edges = np.linspace(low, 1.0, BINS + 1)
    for label, (values, colour, alpha) in shown.items():
        heights = np.histogram(np.minimum(values, 1), edges)[0] / len(values)
        axes.stairs(heights, edges, color=colour, alpha=alpha, linewidth=1.8, label=label)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("share")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(loc="outside lower left", ncols=3)
    return Picture(
        "similarities",
        "How similar neighbours are",
        f"From {len(survey.anchors):,} anchors. {(survey.random < low).mean():.0%} of random pairs are less "
        f"similar than shown here. Dashed line: {threshold:.3f}, where likely duplicates begin.",
        f"Medians: any two rows {np.median(survey.random):.2f}, in a neighbourhood {np.median(survey.cosines):.2f}, "
        f"nearest {np.median(survey.nearest):.2f}",
        figure,
    )


def exclusion(survey: Survey, threshold: float) -> Picture:
    """The share of rows that each max_similarity leaves out of at least one cluster."""
    figure, axes = panel("What max_similarity leaves out", 2.9)
    levels = np.linspace(min(survey.nearest.min(), threshold), 1, POINTS)
    axes.plot(levels, [survey.left_out(level) for level in levels], color=GREEN)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_xlabel("max_similarity")
    axes.set_ylabel("rows left out")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    listed = ", ".join(f"{level:.3f} {survey.left_out(level):.0%}" for level in levels[:: POINTS // 5])
    return Picture(
        "exclusion",
        "What max_similarity leaves out",
        "Share of rows that are at least this similar to another row and so left out of its cluster. They stay in the "
        "training set: as anchors, in other clusters, and as independent rows.",
        f"Share of rows by max_similarity: {listed}",
        figure,
    )
