"""Every arm's difference from the control, with simultaneous intervals and p-values, and the verdict in a word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simclip.study.analysis.comparison.dunnett import COMPLETE, critical, p_value
from simclip.study.analysis.comparison.two_way import Fit, Floats, Scores, fit
from simclip.study.analysis.statistics import MIN_PAIRS

Word = Literal["better", "worse", "no different", "undecided"]

#: The share of an arm's own variance that its interval takes into account. An arm's own variance, from few seeds, is
#: often larger than that of all arms by chance; below 1 / 0.7 times as much, that changes nothing.
OWN_SHARE = 0.7


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An arm's difference from the control.

    Attributes:
        value: Estimated difference, arm minus control.
        error: Standard error.
        df: Degrees of freedom of the standard error.
        low: Lower end of the simultaneous interval: all arms' intervals together hold with probability 1 - level.
        high: Upper end of the interval.
        level: Probability that any of the intervals misses the true difference.
        arms: Number of arms that the interval and the p-value are corrected for.
        correlation: Smallest correlation of two of the differences.
        scatter: Standard deviation of the arm's differences seed by seed, as a multiple of the one that all arms'
            residuals suggest; None without enough seeds that both have.
        widening: How much wider the interval is than with the same noise in all arms; 1 where nothing speaks against
            that.
    """

    value: float
    error: float
    df: int
    low: float
    high: float
    level: float
    arms: int
    correlation: float
    scatter: float | None
    widening: float

    @property
    def p(self) -> float:
        """The two-sided p-value, corrected for all arms."""
        return p_value(self.value / self.error, self.arms, self.df, self.correlation)


def compare(scores: Scores, control: str, level: float, items: Floats | None = None) -> dict[str, Difference]:
    """Compare every arm with the control by Dunnett's method in the model score = arm + seed + noise.

    The standard error of an arm is the largest of three, because noise may differ between arms: that of the residuals
    of all arms; that of the mean variance of all differences seed by seed, which is larger if the control's noise is;
    and that of 0.7 times the variance of the arm's own.

    Args:
        scores: By arm and seed.
        control: Name of the control.
        level: Probability that any of the intervals misses the true difference.
        items: A further covariance of the differences, float64 (arms, arms) in the order of the other arms in
            `scores`, e.g. from the test items; it is added to that of the seeds.

    Returns:
        The differences of the arms that allow a verdict, by name: those with at least three scored seeds, if the
        control has as many and the scores vary.
    """
    found = fit(scores, control)
    if found.variance is None or len(scores[control]) < MIN_PAIRS:
        return {}
    own = {name: _paired_variance(scores, name, control) for name in found.names}
    known = [each for each in own.values() if each]
    shared = sum(squares for squares, _ in known) / max(1, sum(df for _, df in known))
    alone = {name: each[0] / each[1] for name, each in own.items() if each}
    order = [name for name in scores if name != control]
    compared = {}
    for place, name in enumerate(found.names):
        if len(scores[name]) < MIN_PAIRS:
            continue
        pooled = 2 * found.variance
        widening = math.sqrt(max(1.0, shared / pooled, OWN_SHARE * alone.get(name, 0.0) / pooled))
        squared = found.design[place, place] * found.variance * widening**2
        if items is not None:
            squared += items[order.index(name), order.index(name)]
        compared[name] = _difference(
            value=float(found.values[place]),
            error=math.sqrt(squared),
            fitted=found,
            level=level,
            scatter=math.sqrt(alone[name] / pooled) if name in alone else None,
            widening=widening,
        )
    return compared


def word(difference: Difference | None, mode: Literal["max", "min"], margin: float | None) -> Word | None:
    """The verdict about an arm: what the whole of its interval says.

    An interval within the margin on both sides of zero means no difference worth having, even if it excludes zero. That
    is wrong about a difference of the margin or more with half of the level at most: these are two one-sided tests at
    that level (Schuirmann 1987).

    Args:
        difference: The arm's difference; None gives no verdict.
        mode: Whether larger or smaller scores are better.
        margin: The largest difference that does not matter; None if none was stated.
    """
    if difference is None:
        return None
    low, high = difference.low, difference.high
    if margin is not None and -margin < low and high < margin:
        return "no different"
    if low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == (mode == "max") else "worse"


def _paired_variance(scores: Scores, name: str, control: str) -> tuple[float, int] | None:
    """Sum of squares and degrees of freedom of an arm's differences seed by seed; None below three pairs."""
    differences = [score - scores[control][seed] for seed, score in scores[name].items() if seed in scores[control]]
    if len(differences) < MIN_PAIRS:
        return None
    return float(np.var(differences)) * len(differences), len(differences) - 1


def _difference(
    *, value: float, error: float, fitted: Fit, level: float, scatter: float | None, widening: float
) -> Difference:
    arms, correlation = len(fitted.names), _correlation(fitted.design)
    half = critical(level, arms, fitted.df, correlation) * error
    return Difference(
        value=value,
        error=error,
        df=fitted.df,
        low=value - half,
        high=value + half,
        level=level,
        arms=arms,
        correlation=correlation,
        scatter=scatter,
        widening=widening,
    )


def _correlation(design: Floats) -> float:
    """The smallest correlation of two differences, to six digits."""
    if len(design) < 2:
        return COMPLETE
    errors = np.sqrt(np.diag(design))
    return round(min(COMPLETE, float((design / np.outer(errors, errors)).min())), 6)
