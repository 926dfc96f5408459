"""Dunnett's distribution: the largest of several t statistics that share one control.

The statistics of k arms have a joint t distribution. All of its correlations are 1/2 where every arm has every seed.
Otherwise the smallest of them stands for all, which makes intervals slightly wider than necessary: the probability that
all statistics stay small grows with correlations that are products (Sidak 1968).

Source: Dunnett, A multiple comparison procedure for comparing several treatments with a control, JASA 50 (1955).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy  # its subpackages are imported on first use; scipy.stats, which would take a second, is not needed

from simclip.study.analysis.comparison.two_way import Floats

#: Correlation of two differences from the same control, if every arm has every seed.
COMPLETE = 0.5

#: Points of the trapezoidal rules over the shared normal deviate, from zero on, and over the scale of the noise. Both
#: integrands decay fast at both ends, where this rule converges exponentially: probabilities are exact to about 1e-8.
NORMAL_POINTS = 22
SCALE_POINTS = 121


def p_value(statistic: float, arms: int, df: float, correlation: float = COMPLETE) -> float:
    """The probability that the largest of the statistics exceeds one of them, without any true difference.

    Args:
        statistic: A difference divided by its standard error.
        arms: Number of arms besides the control, at least 1.
        df: Degrees of freedom of the standard errors, at least 1.
        correlation: Correlation of any two statistics, from 0 to below 1.

    Returns:
        The two-sided p-value, corrected for all arms.
    """
    shared, shared_weights = _normal_grid()
    scales, scale_weights = _scale_grid(df)
    reach = abs(statistic) * scales[:, None]
    shift, own = math.sqrt(correlation) * shared, math.sqrt(1 - correlation)
    # The probability that one arm's statistic does not stay within, and that any arm's does not.
    outside = scipy.special.ndtr((-reach - shift) / own) + scipy.special.ndtr((-reach + shift) / own)
    any_outside = -np.expm1(arms * np.log1p(-np.minimum(outside, 1 - 1e-16)))
    return float(min(1.0, scale_weights @ (any_outside @ shared_weights)))


@lru_cache(maxsize=1)
def _normal_grid() -> tuple[Floats, Floats]:
    """Points and weights of the size of a standard normal deviate, float64 (points,); its sign makes no difference."""
    points = np.linspace(0, 8.5, NORMAL_POINTS)
    weights = 2 * np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi) * points[1]
    weights[0] /= 2
    return points, weights


@lru_cache(maxsize=256)
def _scale_grid(df: float) -> tuple[Floats, Floats]:
    """Points and weights of the estimated over the true standard deviation of the noise, float64 (points,)."""
    # In logarithms, the chi distribution: x is chi where x^2 / 2 has a gamma distribution of shape df / 2.
    shape = df / 2
    lowest, highest = scipy.special.gammaincinv(shape, 1e-13), scipy.special.gammainccinv(shape, 1e-13)
    logs = np.linspace(math.log(2 * lowest) / 2, math.log(2 * highest) / 2, SCALE_POINTS)
    halves = np.exp(2 * logs) / 2
    density = 2 * np.exp(shape * np.log(halves) - halves - scipy.special.gammaln(shape))
    return np.exp(logs) / math.sqrt(df), density * (logs[1] - logs[0])


@lru_cache(maxsize=4096)
def critical(level: float, arms: int, df: float, correlation: float = COMPLETE) -> float:
    """The value that the largest statistic exceeds with a probability of `level` (see `p_value`)."""
    single = _t_quantile(level / 2, df)
    if arms == 1:
        return single
    bonferroni = _t_quantile(level / 2 / arms, df)
    excess = lambda size: p_value(size, arms, df, correlation) - level  # noqa: E731
    return float(scipy.optimize.brentq(excess, 0.999 * single, 1.001 * bonferroni, xtol=1e-6))


def _t_quantile(tail: float, df: float) -> float:
    """The value that a t statistic exceeds with probability `tail`."""
    return float(-scipy.special.stdtrit(df, tail))


def power(effect: float, seeds: int, arms: int, level: float) -> float:
    """The probability of detecting one arm's difference in the right direction, if every arm has every seed.

    It is that of the method with equal noise. Intervals that allow for unequal noise need a little more; how much, with
    few seeds, `planning` simulates.

    Args:
        effect: The true difference in standard deviations of the differences seed by seed.
        seeds: Number of seeds, at least 2.
        arms: Number of arms besides the control.
        level: Probability of a false detection in any arm.
    """
    df = arms * (seeds - 1)
    return float(1 - scipy.special.nctdtr(df, abs(effect) * math.sqrt(seeds), critical(level, arms, df)))


def seeds_needed(effect: float, arms: int, level: float, chance: float, fewest: int, most: int) -> int | None:
    """The smallest number of seeds that detects a difference with probability `chance`; None above `most`."""
    if not effect or power(effect, most, arms, level) < chance:
        return None
    low, high = fewest - 1, most  # bisection: power increases with the number of seeds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, arms, level) >= chance else (middle, high)
    return high
