"""Every arm's difference from the control, with simultaneous intervals and p-values, and the verdict in a word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from simclip.study.analysis.comparison.dunnett import p_value
from simclip.study.analysis.comparison.noise import Noise, noise
from simclip.study.analysis.comparison.two_way import Floats, Scores, Table, fit
from simclip.study.analysis.statistics import MIN_PAIRS

Word = Literal["better", "worse", "no different", "undecided"]
Words = NDArray[np.str_]


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
        widening: How much wider the interval is, before the noise of items, than with the same noise in all arms; 1
            where nothing speaks against that.
    """

    value: float
    error: float
    df: float
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


@dataclass(frozen=True)
class Differences:
    """Arms' differences from the control in several studies with the same trials.

    Attributes:
        names: The arms that share seeds with the control, directly or through other arms.
        testable: Whether each arm allows a verdict: it and the control have at least three scored seeds.
        values: Estimated differences, arm minus control, float64 (arms, studies).
        noise: Their noise over seeds; NaN where scores do not vary.
    """

    names: tuple[str, ...]
    testable: tuple[bool, ...]
    values: Floats
    noise: Noise

    def words(self, mode: Literal["max", "min"], margin: float | None) -> Words:
        """The verdict about each arm in each study, str (arms, studies); arms without one are undecided."""
        half = np.where(np.array(self.testable)[:, None], self.noise.reach * self.noise.errors, np.nan)
        return words(self.values - half, self.values + half, mode, margin)


def compare_each(scores: Table, control: str, level: float) -> Differences:
    """Compare every arm with the control in each of several studies, as `compare` does it in one.

    Args:
        scores: By arm and seed, float64 (studies,) each.
        control: Name of the control.
        level: Probability that any of the intervals misses the true difference.
    """
    found = fit(scores, control)
    enough = len(scores[control]) >= MIN_PAIRS
    testable = tuple(enough and len(scores[name]) >= MIN_PAIRS for name in found.names)
    return Differences(found.names, testable, found.values, noise(scores, control, found, level))


def compare(scores: Scores, control: str, level: float, items: Floats | None = None) -> dict[str, Difference]:
    """Compare every arm with the control by Dunnett's method in the model score = arm + seed + noise.

    The intervals are Dunnett's where noise seems to be the same in all arms, and wider where it is not; see `noise`.

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
    single = {arm: {seed: np.array([score]) for seed, score in own.items()} for arm, own in scores.items()}
    found = compare_each(single, control, level)
    order = [name for name in scores if name != control]
    compared = {}
    for place, name in enumerate(found.names):
        if not found.testable[place] or math.isnan(found.noise.errors[place, 0]):
            continue
        more = 0.0 if items is None else float(items[order.index(name), order.index(name)])
        compared[name] = _difference(found, place, level, more)
    return compared


def word(difference: Difference | None, mode: Literal["max", "min"], margin: float | None) -> Word | None:
    """The verdict about an arm, see `words`; None without a difference."""
    if difference is None:
        return None
    return cast(Word, words(np.array(difference.low), np.array(difference.high), mode, margin).item())


def words(low: Floats, high: Floats, mode: Literal["max", "min"], margin: float | None) -> Words:
    """The verdicts about differences: what the whole of each interval says.

    An interval within the margin on both sides of zero means no difference worth having, even if it excludes zero. That
    is wrong about a difference of the margin or more with half of the level at most: these are two one-sided tests at
    that level (Schuirmann 1987).

    Args:
        low: Lower ends of the intervals, of any shape; NaN is undecided.
        high: Upper ends.
        mode: Whether larger or smaller scores are better.
        margin: The largest difference that does not matter; None if none was stated.
    """
    up, down = ("better", "worse") if mode == "max" else ("worse", "better")
    within = np.full(low.shape, False) if margin is None else (-margin < low) & (high < margin)
    return np.select([within, low > 0, high < 0], ["no different", up, down], "undecided")


def _difference(found: Differences, place: int, level: float, items: float) -> Difference:
    """One arm's difference in the only study, with a further variance from items."""
    noise, value = found.noise, float(found.values[place, 0])
    error = math.hypot(float(noise.errors[place, 0]), math.sqrt(items))
    half, scatter = float(noise.reach[place, 0]) * error, float(noise.scatter[place, 0])
    return Difference(
        value=value,
        error=error,
        df=float(noise.df[place, 0]),
        low=value - half,
        high=value + half,
        level=level,
        arms=len(found.names),
        correlation=noise.correlation,
        scatter=None if math.isnan(scatter) else scatter,
        widening=float(noise.widening[place, 0]),
    )
