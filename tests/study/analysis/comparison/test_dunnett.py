"""Against scipy's Dunnett test and multivariate t, published tables, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from simclip.study.analysis.comparison.dunnett import critical, p_value, power, seeds_needed


@pytest.mark.parametrize(
    ("arms", "df", "level", "value"),
    [  # Dunnett (1964), New tables for multiple comparisons with a control, two-sided
        (1, 5, 0.05, 2.57), (2, 5, 0.05, 3.03), (3, 5, 0.05, 3.29), (9, 5, 0.05, 3.97),
        (2, 10, 0.05, 2.57), (5, 10, 0.05, 2.99), (3, 20, 0.05, 2.54), (4, 16, 0.05, 2.71),
        (2, 5, 0.01, 4.63), (3, 20, 0.01, 3.29),
    ],
)  # fmt: skip
def test_critical_values_are_the_published_ones(arms: int, df: int, level: float, value: float) -> None:
    assert critical(level, arms, df) == pytest.approx(value, abs=0.0051)


def test_one_arm_is_students_t() -> None:
    for statistic, df in ((0.1, 2), (2.0, 4), (7.0, 20), (-3.0, 400)):
        assert p_value(statistic, 1, df) == pytest.approx(2 * stats.t.sf(abs(statistic), df), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize(("arms", "number"), [(2, 4), (3, 6)])
def test_independent_samples_of_equal_size_have_scipys_p(arms: int, number: int) -> None:
    """The joint distribution is the same there, with the degrees of freedom of the residuals within the samples."""
    draw = np.random.default_rng(arms)
    control, samples = draw.normal(size=number), draw.normal(0.7, 1, size=(arms, number))
    variance = np.mean([np.var(each, ddof=1) for each in (control, *samples)])
    test = stats.dunnett(*samples, control=control, random_state=1)
    for sample, p in zip(samples, test.pvalue, strict=True):
        statistic = (sample.mean() - control.mean()) / math.sqrt(2 * variance / number)
        assert p_value(statistic, arms, (arms + 1) * (number - 1)) == pytest.approx(p, abs=3e-4)


@pytest.mark.parametrize(("arms", "df", "correlation"), [(2, 4, 0.5), (3, 6, 0.5), (8, 16, 0.5), (4, 7, 0.31)])
def test_it_is_the_multivariate_t(arms: int, df: int, correlation: float) -> None:
    shape = correlation + (1 - correlation) * np.eye(arms)
    for size in (1.0, 2.5, 4.0):
        ends = np.full(arms, size)
        inside = stats.multivariate_t.cdf(ends, shape=shape, df=df, lower_limit=-ends, random_state=1, maxpts=40_000)
        assert p_value(size, arms, df, correlation) == pytest.approx(1 - inside, abs=2e-4)


def test_the_smallest_correlation_is_careful() -> None:
    """With unequal correlations, the true probability of a large statistic is no larger than the one used."""
    draw = np.random.default_rng(6)
    for _ in range(5):
        loads = draw.uniform(0.45, 0.8, size=4)
        shape = np.outer(loads, loads) + np.diag(1 - loads**2)
        ends = np.full(4, 2.7)
        inside = stats.multivariate_t.cdf(ends, shape=shape, df=9, lower_limit=-ends, random_state=1, maxpts=40_000)
        used = p_value(2.7, 4, 9, float(shape.min()))
        assert 1 - inside - 1e-4 <= used <= 1 - inside + 0.012


def test_critical_values_and_p_values_belong_together() -> None:
    for level, arms, df in ((0.05, 3, 6), (0.0125, 5, 20), (0.2, 2, 4)):
        assert p_value(critical(level, arms, df), arms, df) == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize(("effect", "seeds", "arms"), [(2.0, 3, 3), (1.4, 5, 3), (1.0, 10, 1), (2.0, 3, 8)])
def test_power_is_what_simulation_gives(effect: float, seeds: int, arms: int) -> None:
    draws = np.random.default_rng(5).normal(size=(20_000, arms + 1, seeds))
    draws[:, 1] += effect * math.sqrt(2)  # differences of two scores have a standard deviation of sqrt(2)
    residuals = draws - draws.mean(2, keepdims=True)
    residuals -= residuals.mean(1, keepdims=True)
    df = arms * (seeds - 1)
    error = np.sqrt(2 * (residuals**2).sum((1, 2)) / df / seeds)
    seen = np.mean((draws[:, 1] - draws[:, 0]).mean(1) > critical(0.05, arms, df) * error)
    assert power(effect, seeds, arms, 0.05) == pytest.approx(seen, abs=4 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("effect", [0.3, 1.0, 4.0])
def test_the_seeds_needed_are_the_fewest(effect: float) -> None:
    needed = seeds_needed(effect, 3, 0.05, 0.8, 3, 10_000)
    assert needed is not None and power(effect, needed, 3, 0.05) >= 0.8
    assert needed == 3 or power(effect, needed - 1, 3, 0.05) < 0.8


def test_no_number_of_seeds_shows_nothing() -> None:
    assert seeds_needed(0.0, 3, 0.05, 0.8, 3, 10_000) is None
    assert seeds_needed(1e-4, 3, 0.05, 0.8, 3, 10_000) is None
