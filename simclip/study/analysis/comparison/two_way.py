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
    found = fit_each(
        {arm: {seed: np.array([score]) for seed, score in own.items()} for arm, own in scores.items()}, control
    )
    squares, scale = found.squares, max((abs(score) for own in scores.values() for score in own.values()), default=0.0)
    variance = squares / found.df if found.df > 0 and squares > found.df * (ROUNDING * scale) ** 2 else None
    return Fit(found.names, found.values[:, 0], found.design, found.df, variance)


@dataclass(frozen=True)
class Fits:
    """Differences from the control in the two-way models of several scores of the same trials.

    Attributes:
        names: As in `Fit`.
        values: Estimated differences, float64 (arms, scores).
        design: As in `Fit`.
        df: As in `Fit`.
        squares: Sum of the squared residuals of all scores.
    """

    names: tuple[str, ...]
    values: Floats
    design: Floats
    df: int
    squares: float


def fit_each(scores: Mapping[str, Mapping[int, Floats]], control: str) -> Fits:
    """Fit the model to each of several scores, as `fit` does it for one.

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
    return Fits(tuple(arms[1:]), values, design, df, float((residuals**2).sum()))


def _connected(scores: Mapping[str, Mapping[int, object]], control: str) -> list[str]:
    """The control, then the arms that share seeds with it or with such an arm, in the scores' order."""
    found, seeds = {control}, {*scores[control]}
    while more := [arm for arm in scores if arm not in found and seeds & {*scores[arm]}]:
        found.update(more)
        seeds.update(*(scores[arm] for arm in more))
    return [control, *(arm for arm in scores if arm in found and arm != control)]
