"""The two-way model of scores, score = arm + seed + noise, fitted by least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: One score by arm and seed, and several of the same trials, float64 (scores,) each.
Scores = Mapping[str, Mapping[int, float]]
Table = Mapping[str, Mapping[int, Floats]]

#: Noise below this share of the largest score is rounding: scores that never vary allow no test.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Fit:
    """Differences from the control in the two-way model, for each of several scores of the same trials.

    Attributes:
        names: The arms besides the control that share seeds with it, directly or through other arms.
        values: Estimated differences, arm minus control, in the order of the names, float64 (arms, scores).
        design: Covariance of the differences as a multiple of the noise's variance, float64 (arms, arms). It is
            (1 + identity) / seeds if every arm has every seed.
        df: Degrees of freedom of the noise's variance: arms x (seeds - 1) if every arm has every seed.
        squares: Sum of the squared residuals of all arms, float64 (scores,).
        variance: Variance of the noise, from these residuals, float64 (scores,); NaN without degrees of freedom, or if
            the scores do not vary but for rounding.
    """

    names: tuple[str, ...]
    values: Floats
    design: Floats
    df: int
    squares: Floats
    variance: Floats


def fit(scores: Table, control: str) -> Fit:
    """Fit the model score = arm + seed + noise with equal noise in all arms.

    A seed that some arms lack still tells how the others differ on it, so trials that failed cost their own scores
    alone. With every seed in every arm, the differences are the mean differences seed by seed.

    Source: least squares of a two-way layout without interaction, e.g. Scheffe, The Analysis of Variance (1959).

    Args:
        scores: By arm and seed, float64 (scores,) each.
        control: Name of the arm that the others are compared with.
    """
    arms = _connected(scores, control)
    seeds = sorted({seed for arm in arms for seed in scores[arm]})
    present = np.array([[seed in scores[arm] for seed in seeds] for arm in arms], bool).reshape(len(arms), len(seeds))
    empty = np.zeros_like(next((score for own in scores.values() for score in own.values()), np.zeros(1)))
    table = np.array([[scores[arm].get(seed, empty) for seed in seeds] for arm in arms])
    table = table.reshape(len(arms), len(seeds), len(empty))
    # The seeds' effects are eliminated from the normal equations; the control's effect is zero.
    counts = np.maximum(present.sum(0), 1)
    share = present / counts
    normal = np.diag(present.sum(1)) - share @ present.T
    right = table.sum(1) - share @ table.sum(0)
    design = np.linalg.inv(normal[1:, 1:])
    values = design @ right[1:]
    effects = np.concatenate([np.zeros((1, len(empty))), values])
    residuals = np.where(present[:, :, None], table - effects[:, None], 0.0)
    residuals -= present[:, :, None] * (residuals.sum(0) / counts[:, None])
    df = int(present.sum()) - len(arms) - len(seeds) + 1
    squares, scale = (residuals**2).sum((0, 1)), np.abs(table).max((0, 1), initial=0.0)
    varies = squares > df * (ROUNDING * scale) ** 2
    variance = np.where(varies, squares / max(1, df), np.nan) if df > 0 else np.full_like(squares, np.nan)
    return Fit(tuple(arms[1:]), values, design, df, squares, variance)


def _connected(scores: Mapping[str, Mapping[int, object]], control: str) -> list[str]:
    """The control, then the arms that share seeds with it or with such an arm, in the scores' order."""
    found, seeds = {control}, {*scores[control]}
    while more := [arm for arm in scores if arm not in found and seeds & {*scores[arm]}]:
        found.update(more)
        seeds.update(*(scores[arm] for arm in more))
    return [control, *(arm for arm in scores if arm in found and arm != control)]
