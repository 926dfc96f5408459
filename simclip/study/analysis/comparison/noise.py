"""How much the differences from a control may vary: standard errors that allow for unequal noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simclip.study.analysis.comparison.dunnett import COMPLETE, critical
from simclip.study.analysis.comparison.two_way import Fit, Floats, Table, fit
from simclip.study.analysis.statistics import MIN_PAIRS

#: The share of an arm's own variance that its interval takes into account. An arm's own variance, from few seeds, is
#: often larger than that of all arms by chance; below 1 / 0.7 times as much, that changes nothing.
OWN_SHARE = 0.7

#: How many seeds' worth of weight the arms' noise has in the estimate of the control's. Without any, three seeds would
#: say so little about the control that most of what the other arms tell about the noise would be lost; with more, a
#: control that scatters twice as much would go unseen (docs/calibration.md has the table).
PRIOR_SEEDS = 0.25


@dataclass(frozen=True)
class Noise:
    """The noise of each arm's difference from the control, float64 (arms, scores) each.

    Attributes:
        errors: Standard errors.
        df: Their degrees of freedom, to three digits.
        reach: How many standard errors the simultaneous interval extends to either side.
        widening: How much wider that interval is than with the same noise in all arms.
        scatter: Standard deviation of the arm's differences seed by seed, as a multiple of the one that all arms'
            residuals suggest; NaN without enough seeds that both have.
        correlation: Smallest correlation of two of the differences.
    """

    errors: Floats
    df: Floats
    reach: Floats
    widening: Floats
    scatter: Floats
    correlation: float


def noise(scores: Table, control: str, found: Fit, level: float) -> Noise:
    """Take the standard error, of three, that makes an arm's interval widest.

    The first is that of the residuals of all arms, as in Dunnett's method. The second is that of 0.7 times the variance
    of the arm's own differences seed by seed, which is larger if the arm scatters more. The third estimates the
    control's noise apart from the arms' (see `_apart`).

    Args:
        scores: By arm and seed, float64 (scores,) each.
        control: Name of the control.
        found: The fit of these scores.
        level: Probability that any of the intervals misses the true difference.
    """
    arms, correlation = len(found.names), _correlation(found.design)
    pooled, df = 2 * found.variance, np.full_like(found.variance, max(1, found.df))
    own = [_pairs(scores, name, control) for name in found.names]
    alone = np.array([squares / count if count else np.full_like(pooled, np.nan) for squares, count in own])
    apart, apart_df = _apart(scores, control, own, found)

    def reach(degrees: Floats) -> Floats:
        values, places = np.unique(degrees, return_inverse=True)
        return np.array([critical(level, arms, each, correlation) for each in values.tolist()])[places]

    usual, other = reach(df), reach(apart_df)
    larger = np.maximum(pooled, OWN_SHARE * np.nan_to_num(alone))
    separate = other**2 * np.nan_to_num(apart) > usual**2 * larger
    variances, degrees = np.where(separate, apart, larger), np.where(separate, apart_df, df)
    reaches = np.where(separate, other, usual)
    return Noise(
        errors=np.sqrt(np.diag(found.design)[:, None] / 2 * variances),
        df=degrees,
        reach=reaches,
        widening=reaches / usual * np.sqrt(variances / pooled),
        scatter=np.sqrt(alone / pooled),
        correlation=correlation,
    )


def _apart(scores: Table, control: str, own: list[tuple[Floats, int]], found: Fit) -> tuple[Floats, Floats]:
    """The variance of a difference seed by seed with the control's noise apart from the arms', and its df.

    The mean variance of all arms' differences has two independent parts: that of the control against the arms' mean,
    which only the control's seeds tell, and that of the arms among each other. Its degrees of freedom are those of
    Satterthwaite (Biometrics Bulletin 2, 1946). The variance is NaN with fewer than two arms.
    """
    known = [(squares, count) for squares, count in own if count]
    others = fit({name: scores[name] for name in found.names}, found.names[0]) if len(known) > 1 else None
    if others is None or others.df < 1:
        return np.full_like(found.variance, np.nan), np.ones_like(found.variance)
    arms, seeds = len(found.names), len(scores[control]) - 1
    shared = np.sum([squares for squares, _ in known], 0) / sum(count for _, count in known)
    among = others.squares / others.df
    rest = among * (1 - 1 / arms)
    measured = np.maximum(shared - rest, 0)
    against = (seeds * measured + PRIOR_SEEDS * among * (1 + 1 / arms)) / (seeds + PRIOR_SEEDS)
    total = against + rest
    with np.errstate(invalid="ignore"):  # scores that do not vary
        df = total**2 / (against**2 / (seeds + PRIOR_SEEDS) + rest**2 / others.df)
    df = np.clip(np.nan_to_num(df, nan=1.0), 1.0, max(1, found.df))
    return total, np.where(df < 10, np.round(df, 1), np.round(df))


def _pairs(scores: Table, name: str, control: str) -> tuple[Floats, int]:
    """Sum of squares and degrees of freedom of an arm's differences seed by seed; none below three pairs."""
    differences = [score - scores[control][seed] for seed, score in scores[name].items() if seed in scores[control]]
    if len(differences) < MIN_PAIRS:
        return np.zeros(0), 0
    return np.var(differences, 0) * len(differences), len(differences) - 1


def _correlation(design: Floats) -> float:
    """The smallest correlation of two differences, to six digits."""
    if len(design) < 2:
        return COMPLETE
    errors = np.sqrt(np.diag(design))
    return round(min(COMPLETE, float((design / np.outer(errors, errors)).min())), 6)
