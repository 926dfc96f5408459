"""The two-way model of scores, score = arm + seed + noise, fitted by least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = Mapping[str, Mapping[int, float]]

#: Noise below this share of the largest score is rounding: scores that never vary allow no test.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Fit:
    """Differences from the control in the two-way model.

    Attributes:
        names: The arms besides the control that share seeds with it, directly or through other arms.
        values: Estimated differences, arm minus control, in the order of the names.
        design: Covariance of the differences as a multiple of the noise's variance, float64 (arms, arms). It is
            (1 + identity) / seeds if every arm has every seed.
        df: Degrees of freedom of the noise's variance: arms x (seeds - 1) if every arm has every seed.
        variance: Variance of the noise, from the residuals of all arms; None without degrees of freedom, or if the
            scores do not vary but for rounding.
    """

    names: tuple[str, ...]
    values: Floats
    design: Floats
    df: int
    variance: float | None


def fit(scores: Scores, control: str) -> Fit:
    """Fit the model score = arm + seed + noise with equal noise in all arms.

    A seed that some arms lack still tells how the others differ on it, so trials that failed cost their own scores
    alone. With every seed in every arm, the differences are the mean differences seed by seed.

    Source: least squares of a two-way layout without interaction, e.g. Scheffe, The Analysis of Variance (1959).

    Args:
        scores: By arm and seed.
        control: Name of the arm that the others are compared with.
    """
    arms = _connected(scores, control)
    seeds = sorted({seed for arm in arms for seed in scores[arm]})
    table = np.array([[scores[arm].get(seed, np.nan) for seed in seeds] for arm in arms]).reshape(len(arms), len(seeds))
    present = ~np.isnan(table)
    filled = np.where(present, table, 0.0)
    # The seeds' effects are eliminated from the normal equations; the control's effect is zero.
    counts = present.sum(0)
    share = present / np.where(counts, counts, 1)
    normal = np.diag(present.sum(1)) - share @ present.T
    right = filled.sum(1) - share @ filled.sum(0)
    design = np.linalg.inv(normal[1:, 1:])
    values = design @ right[1:]
    residuals = np.where(present, filled - np.concatenate([[0.0], values])[:, None], 0.0)
    residuals -= present * (residuals.sum(0) / np.where(counts, counts, 1))
    df = int(present.sum()) - len(arms) - len(seeds) + 1
    squares, scale = float((residuals**2).sum()), float(np.abs(filled).max(initial=0.0))
    variance = squares / df if df > 0 and squares > df * (ROUNDING * scale) ** 2 else None
    return Fit(tuple(arms[1:]), values, design, df, variance)


def _connected(scores: Scores, control: str) -> list[str]:
    """The control, then the arms that share seeds with it or with such an arm, in the scores' order."""
    found, seeds = {control}, {*scores[control]}
    while more := [arm for arm in scores if arm not in found and seeds & {*scores[arm]}]:
        found.update(more)
        seeds.update(*(scores[arm] for arm in more))
    return [control, *(arm for arm in scores if arm in found and arm != control)]
