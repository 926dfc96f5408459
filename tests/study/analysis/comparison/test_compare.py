"""Intervals, p-values and words, from scores by arm and seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from simclip.study.analysis.comparison.compare import Difference, compare, word

CONTROL = {1: 0.40, 2: 0.42, 3: 0.44, 4: 0.41}


def noisy(arms: int, seeds: int, key: int, spread=None) -> dict[str, dict[int, float]]:
    draw, names = np.random.default_rng(key), ["control", *(f"k{number}" for number in range(arms))]
    shared = draw.normal(0, 3, seeds)
    return {name: dict(enumerate(shared + (spread or {}).get(name, 1.0) * draw.normal(size=seeds))) for name in names}


def test_one_arm_is_the_paired_t_test() -> None:
    scores = noisy(1, 5, 1)
    [found] = compare(scores, "control", 0.05).values()
    test = stats.ttest_rel([*scores["k0"].values()], [*scores["control"].values()])
    low, high = test.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((test.pvalue, low, high), rel=1e-5)
    assert (found.df, found.widening) == (4, 1.0)


def test_intervals_and_p_values_agree() -> None:
    for key in range(15):
        for found in compare(noisy(3, 4, key), "control", 0.05).values():
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_the_arms_share_their_noise() -> None:
    """Twelve pairs tell the noise better than four: with the same noise in all arms, the interval is narrower."""
    widths = []
    for key in range(40):
        scores = noisy(3, 4, key)
        [alone] = compare({name: scores[name] for name in ("control", "k0")}, "control", 0.05 / 3).values()
        together = compare(scores, "control", 0.05)["k0"]
        widths.append((together.high - together.low) / (alone.high - alone.low))
    assert np.median(widths) < 0.75


def test_an_arm_that_scatters_more_has_a_wider_interval() -> None:
    found = compare(noisy(3, 10, 2, {"k1": 5.0}), "control", 0.05)
    assert found["k1"].widening > 1.05 and found["k1"].scatter is not None and found["k1"].scatter > 1.2
    assert found["k0"].widening < found["k1"].widening


def test_a_control_that_scatters_more_widens_all_intervals() -> None:
    found = compare(noisy(5, 10, 2, {"control": 5.0}), "control", 0.05)
    assert all(each.widening > 1.3 for each in found.values())


def test_the_noise_of_items_adds_up() -> None:
    scores = noisy(2, 5, 3)
    plain, both = (compare(scores, "control", 0.05, items) for items in (None, np.diag([0.5, 2.0])))
    assert both["k0"].error ** 2 - plain["k0"].error ** 2 == pytest.approx(0.5)
    assert both["k1"].error ** 2 - plain["k1"].error ** 2 == pytest.approx(2.0)


def test_below_three_seeds_there_is_no_verdict() -> None:
    assert compare({"control": {1: 0.4, 2: 0.42}, "k4": {1: 0.5, 2: 0.55}}, "control", 0.05) == {}
    found = compare({"control": CONTROL, "k4": {1: 0.5, 2: 0.55}, "k8": {1: 0.5, 2: 0.52, 3: 0.5}}, "control", 0.05)
    assert [*found] == ["k8"]


def test_scores_without_noise_are_not_judged() -> None:
    raised = {seed: score + 0.1 for seed, score in CONTROL.items()}
    assert compare({"control": CONTROL, "k4": raised}, "control", 0.05) == {}


DIFFERENCE = Difference(
    value=0.0, error=1.0, df=4, low=-0.1, high=0.1, level=0.05, arms=1, correlation=0.5, scatter=1.0, widening=1.0
)


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 0.3, None, "better"), (-0.3, -0.1, None, "worse"), (-0.1, 0.3, None, "undecided"),
        (-0.1, 0.1, 0.2, "no different"), (-0.1, 0.3, 0.2, "undecided"), (0.1, 0.3, 0.2, "better"),
        (0.05, 0.15, 0.2, "no different"), (-0.2, 0.1, 0.2, "undecided"),
    ],
)  # fmt: skip
def test_the_word_says_what_the_whole_interval_says(low, high, margin, expected) -> None:
    found = replace(DIFFERENCE, low=low, high=high)
    assert word(found, "max", margin) == expected
    opposite = {"better": "worse", "worse": "better"}
    assert word(found, "min", margin) == opposite.get(expected, expected)
    assert word(None, "max", margin) is None
