"""The noise of the test items: how much the differences would vary on other test images like these."""

from __future__ import annotations

import numpy as np

from simclip.study.analysis.comparison.two_way import Floats, Table, fit


def item_covariance(moves: Table, control: str) -> Floats | None:
    """The covariance of the arms' differences from the control over draws of test images.

    Seeds and images are crossed: the variance of a difference has a part from seeds, one from images and one from both
    together. The scatter over seeds already holds the last one, so it is taken off here: the model arm + seed + noise
    is fitted for each image, and its residuals tell that part. Together with the covariance over seeds, this is the
    variance in a two-way layout with random rows and columns (Searle, Casella and McCulloch, Variance Components, 1992,
    chapter 4).

    Args:
        moves: By arm and seed, how much each test image moves the score, float64 (images,), from
            `simclip.evaluation.items.scatter`.
        control: Name of the control.

    Returns:
        float64 (arms, arms) in the order of the other arms in `moves`, without negative eigenvalues; None if the trials
        were not tested on the same images, if an arm shares no seed with the others, or without degrees of freedom.
    """
    if len({len(each) for own in moves.values() for each in own.values()}) != 1:
        return None
    found = fit(moves, control)
    if found.names != tuple(name for name in moves if name != control) or found.df < 1:
        return None
    covariance = found.values @ found.values.T - found.squares.sum() / found.df * found.design
    variances, axes = np.linalg.eigh(covariance)
    return (axes * np.maximum(variances, 0)) @ axes.T
