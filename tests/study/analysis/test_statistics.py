"""Against scipy, against tables, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simclip.study.analysis.statistics import (
    Spread,
    expected_range,
    holm,
    paired,
    spread,
)

scores = st.lists(st.floats(-1, 1), min_size=3, max_size=8)


def test_interval_of_a_textbook_sample() -> None:
    # 95% t interval of 5 values: t(0.975, 4) = 2.7764.
    found = spread([0.41, 0.43, 0.44, 0.40, 0.42])
    assert (found.n, found.mean) == (5, pytest.approx(0.42))
    assert found.std == pytest.approx(0.0158114, rel=1e-5)
    assert (found.low, found.high) == pytest.approx((0.42 - 2.7764 * 0.0158114 / 5**0.5, 0.42 + 0.019633), rel=1e-4)


def test_too_few_values_have_no_interval() -> None:
    assert spread([]) == Spread(0)
    assert spread([0.4]) == Spread(1, 0.4)


@given(scores)
def test_interval_is_scipys(values: list[float]) -> None:
    found = spread(values)
    if found.std and found.std > 1e-12:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)


@given(scores)
def test_interval_and_test_agree(differences: list[float]) -> None:
    pair = paired(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0))
    if pair.p is not None and abs(pair.p - 0.05) > 1e-9:
        assert pair.spread.low is not None and pair.spread.high is not None
        assert (pair.p < 0.05) == (pair.spread.low > 0 or pair.spread.high < 0)


def test_pairs_are_the_seeds_that_both_have() -> None:
    arm, control = {1: 0.5, 2: 0.6, 3: 0.4, 9: 5.0}, {3: 0.41, 2: 0.5, 1: 0.45, 8: -5.0}
    pair = paired(arm, control)
    assert pair.spread.n == 3
    assert pair.spread.mean == pytest.approx((0.05 + 0.1 - 0.01) / 3)
    assert pair.p == pytest.approx(stats.ttest_1samp([0.05, 0.1, -0.01], 0).pvalue)


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_below_three_pairs_there_is_no_p(seeds: int) -> None:
    pair = paired({seed: 0.5 + seed / 10 for seed in range(seeds)}, dict.fromkeys(range(seeds), 0.1))
    assert (pair.spread.n, pair.p) == (seeds, None)


def test_equal_differences_are_not_judged() -> None:
    control = {1: 0.25, 2: 0.5, 3: 0.75}
    assert paired({seed: score + 0.125 for seed, score in control.items()}, control).p is None


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_between_none_and_bonferroni(ps: list[float]) -> None:
    for p, corrected in zip(ps, holm(ps), strict=True):
        assert p - 1e-12 <= corrected <= min(1, len(ps) * p) + 1e-12


@pytest.mark.parametrize("runs", [1, 3])
def test_further_runs_fall_into_the_expected_range(runs: int) -> None:
    random, inside, rounds = np.random.default_rng(1), 0, 4000
    for _ in range(rounds):
        low, high = expected_range(spread([*random.normal(0.4, 0.02, 5)]), runs) or (0, 0)
        inside += low <= random.normal(0.4, 0.02, runs).mean() <= high
    assert inside / rounds == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / rounds))
    assert expected_range(spread([0.4]), 1) is None
