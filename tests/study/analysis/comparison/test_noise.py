"""Standard errors where noise is not the same in all arms, beside textbook formulas and simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from simclip.study.analysis.comparison.compare import compare, compare_each, word
from simclip.study.analysis.comparison.dunnett import critical
from simclip.study.analysis.comparison.noise import OWN_SHARE, PRIOR_SEEDS


def drawn(arms: int, seeds: int, studies: int, key: int, **spread: float):
    """Scores of a control and arms without any true difference, by arm and seed, float64 (studies,) each."""
    draw, names = np.random.default_rng(key), ["control", *(f"k{number}" for number in range(arms))]
    shared = draw.normal(0, 3, (seeds, studies))
    noise = {name: spread.get(name, 1.0) * draw.normal(size=(seeds, studies)) for name in names}
    return {name: dict(enumerate(shared + own)) for name, own in noise.items()}


def textbook(scores, study: int, level: float) -> np.ndarray:
    """Half widths of the intervals with every seed in every arm, from means and variances alone."""
    table = np.array([[score[study] for score in own.values()] for own in scores.values()])
    arms, seeds = len(table) - 1, table.shape[1]
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    df = arms * (seeds - 1)
    pooled = 2 * (residuals**2).sum() / df
    own = np.var(table[1:] - table[0], 1, ddof=1)
    equal = critical(level, arms, df) * np.sqrt(np.maximum(pooled, OWN_SHARE * own) / seeds)
    others = table[1:] - table[1:].mean(1, keepdims=True) - table[1:].mean(0) + table[1:].mean()
    among, among_df = (others**2).sum() / ((arms - 1) * (seeds - 1)), (arms - 1) * (seeds - 1)
    measured, counted = np.var(table[0] - table[1:].mean(0), ddof=1), seeds - 1 + PRIOR_SEEDS
    against = ((seeds - 1) * measured + PRIOR_SEEDS * among * (1 + 1 / arms)) / counted
    rest = among * (1 - 1 / arms)
    apart_df = min(df, (against + rest) ** 2 / (against**2 / counted + rest**2 / among_df))
    apart = critical(level, arms, round(apart_df, 1 if apart_df < 10 else 0)) * np.sqrt((against + rest) / seeds)
    return np.maximum(equal, apart)


@pytest.mark.parametrize(("arms", "seeds"), [(2, 3), (3, 5), (5, 8)])
def test_with_every_seed_it_is_the_widest_of_three_textbook_intervals(arms: int, seeds: int) -> None:
    scores = drawn(arms, seeds, 40, arms, control=1.5, k1=1.5)
    found = compare_each(scores, "control", 0.05)
    half = found.noise.reach * found.noise.errors
    for study in range(40):
        assert half[:, study] == pytest.approx(textbook(scores, study, 0.05), rel=1e-6)


def test_many_studies_at_once_are_each_compared_as_one() -> None:
    scores = drawn(3, 5, 20, 4, k1=2.0)
    del scores["k0"][1], scores["control"][4]
    each = compare_each(scores, "control", 0.02)
    said = each.words("min", 0.5)
    for study in range(20):
        alone = compare(
            {arm: {s: float(x[study]) for s, x in own.items()} for arm, own in scores.items()}, "control", 0.02
        )
        for place, name in enumerate(each.names):
            found, half = alone[name], (each.noise.reach * each.noise.errors)[place, study]
            assert (found.value, found.high - found.value) == pytest.approx((each.values[place, study], half))
            assert said[place, study] == word(found, "min", 0.5)


@pytest.mark.parametrize("arms", [2, 8])
@pytest.mark.parametrize("noisy", ["control", "k0", None])
def test_twice_the_noise_in_one_arm_or_the_control_keeps_the_level(arms: int, noisy: str | None) -> None:
    """20,000 studies of three seeds, fewest of all: at most 5% with a false word, but for sampling error."""
    scores = drawn(arms, 3, 20_000, arms, **({noisy: 2.0} if noisy else {}))
    false = (compare_each(scores, "control", 0.05).words("max", None) != "undecided").any(0).mean()
    assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)


def test_a_single_arm_needs_no_noise_of_others() -> None:
    found = compare_each(drawn(1, 4, 10, 2, control=3.0), "control", 0.05).noise
    assert (found.df == 3).all() and found.widening == pytest.approx(1.0)


def test_without_degrees_of_freedom_nothing_is_known() -> None:
    scores = {"control": {1: 0.4, 2: 0.5, 3: 0.6}, "k4": {1: 0.5}}
    assert compare(scores, "control", 0.05) == {}


def test_scores_that_do_not_vary_are_undecided() -> None:
    scores = drawn(2, 3, 5, 3)
    for own in scores.values():
        for score in own.values():
            score[2] = 0.4
    said = compare_each(scores, "control", 0.9).words("max", None)
    assert (said[:, 2] == "undecided").all() and (said != "undecided").any()
