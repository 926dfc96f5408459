"""Two small plots: how similar neighbours are, and what a max_similarity leaves out."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import PercentFormatter

from simclip.clusters.survey import Survey
from simclip.html.figure import ARM_COLOURS, INK, Picture, panel

BLUE, ORANGE, GREEN = list(ARM_COLOURS)[:3]
BINS = 80
POINTS = 200


def similarities(found: Survey, line: float) -> Picture:
    """Histograms of the cosines of random pairs, of all neighbours in clusters, and of the nearest ones."""
    figure, axes = panel("How similar neighbours are", 2.9)
    shown = {
        "any two rows": (found.random, INK, 0.35),
        "in a neighbourhood": (found.cosines.ravel(), BLUE, 1.0),
        "nearest neighbours": (found.nearest, ORANGE, 1.0),
    }
    low = min(float(np.median(found.random)), float(found.cosines.min()), line)
    edges = np.linspace(low, 1.0, BINS + 1)
    for label, (values, colour, alpha) in shown.items():
        heights = np.histogram(np.minimum(values, 1), edges)[0] / len(values)
        axes.stairs(heights, edges, color=colour, alpha=alpha, linewidth=1.8, label=label)
    axes.axvline(line, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_xlabel("cosine similarity")
    axes.set_ylabel("share")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(loc="outside lower left", ncols=3)
    return Picture(
        "similarities",
        "How similar neighbours are",
        f"Of {len(found.anchors):,} anchors; {(found.random < low).mean():.0%} of any two rows are less similar than "
        f"shown here. Dashed: {line:.3f}, where likely duplicates begin.",
        f"Medians: any two rows {np.median(found.random):.2f}, in a neighbourhood {np.median(found.cosines):.2f}, "
        f"nearest {np.median(found.nearest):.2f}",
        figure,
    )


def exclusion(found: Survey, line: float) -> Picture:
    """The share of rows that each max_similarity keeps out of some cluster."""
    figure, axes = panel("What a max_similarity leaves out", 2.9)
    levels = np.linspace(min(found.nearest.min(), line), 1, POINTS)
    axes.plot(levels, [found.left_out(level) for level in levels], color=GREEN)
    axes.axvline(line, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_xlabel("max_similarity")
    axes.set_ylabel("rows left out")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    said = ", ".join(f"{level:.3f} {found.left_out(level):.0%}" for level in levels[:: POINTS // 5])
    return Picture(
        "exclusion",
        "What a max_similarity leaves out",
        "The share of rows that have another row at or above it, whose clusters they are kept out of. They stay in the "
        "training set: as anchors, in the clusters of other rows, and as independent rows.",
        f"Share of rows by max_similarity: {said}",
        figure,
    )
