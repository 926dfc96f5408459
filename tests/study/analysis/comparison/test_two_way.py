"""Against least squares with a column per arm and per seed, and against means seed by seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simclip.study.analysis.comparison.two_way import fit


def columns(scores) -> dict[str, dict[int, np.ndarray]]:
    """The scores and ten times the scores, as two studies."""
    return {arm: {seed: np.array([score, 10 * score]) for seed, score in own.items()} for arm, own in scores.items()}


def by_columns(scores, control):
    """Differences, their covariance per variance, residual variance and degrees of freedom, the textbook way."""
    arms, seeds = [*scores], sorted({seed for own in scores.values() for seed in own})
    others = [arm for arm in arms if arm != control]
    rows = [(arm, seed) for arm in arms for seed in scores[arm]]
    matrix = np.array(
        [[arm == each for each in others] + [seed == each for each in seeds] for arm, seed in rows], float
    )
    values = np.array([scores[arm][seed] for arm, seed in rows])
    solved, _, rank, _ = np.linalg.lstsq(matrix, values, rcond=None)
    assert rank == matrix.shape[1]
    df = len(rows) - rank
    residual = float(((values - matrix @ solved) ** 2).sum()) / df
    covariance = np.linalg.inv(matrix.T @ matrix)
    return solved[: len(others)], covariance[: len(others), : len(others)], residual, df


@given(st.integers(1, 5), st.integers(3, 6), st.integers(0, 10_000), st.floats(0, 0.4))
def test_it_is_least_squares_with_a_column_per_arm_and_seed(arms: int, seeds: int, key: int, missing: float) -> None:
    draw = np.random.default_rng(key)
    names = ["control", *(f"k{number}" for number in range(arms))]
    scores = {name: {seed: draw.normal() for seed in range(seeds) if draw.random() > missing} for name in names}
    assume(all(len(set(own) & set(scores["control"])) >= 2 for own in scores.values()))
    found = fit(columns(scores), "control")
    values, design, residual, df = by_columns(scores, "control")
    assert found.names == tuple(names[1:])
    assert found.values == pytest.approx(np.stack([values, 10 * values], 1), abs=1e-9)
    assert found.design == pytest.approx(design, abs=1e-9)
    assert found.variance == pytest.approx(np.array([residual, 100 * residual]))
    assert found.df == df and found.squares == pytest.approx(found.variance * df)


def test_with_every_seed_the_differences_are_the_means_seed_by_seed() -> None:
    draw = np.random.default_rng(3)
    scores = {name: dict(enumerate(draw.normal(size=5))) for name in ("control", "k4", "k8")}
    found = fit(columns(scores), "control")
    for name, value in zip(found.names, found.values, strict=True):
        assert value[0] == pytest.approx(np.mean([scores[name][seed] - scores["control"][seed] for seed in range(5)]))
    assert found.design == pytest.approx((1 + np.eye(2)) / 5)
    assert found.df == 2 * 4


def test_a_failed_trial_does_not_move_an_arm_that_has_every_seed() -> None:
    draw = np.random.default_rng(4)
    scores = {name: dict(enumerate(draw.normal(size=5))) for name in ("control", "k4", "k8")}
    whole = fit(columns(scores), "control").values[0]
    del scores["k8"][2]
    assert fit(columns(scores), "control").values[0] == pytest.approx(whole)


def test_an_arm_without_a_link_to_the_control_is_left_out() -> None:
    scores = {"control": {1: 0.1, 2: 0.2}, "k4": {2: 0.3, 3: 0.5}, "k8": {3: 0.4}, "k16": {8: 0.4, 9: 0.1}}
    assert fit(columns(scores), "control").names == (
        "k4",
        "k8",
    )  # k8 shares a seed with k4, which shares one with the control


def test_scores_that_do_not_vary_have_no_noise() -> None:
    control = {1: 0.40, 2: 0.42, 3: 0.44}
    raised = {seed: score + 0.1 for seed, score in control.items()}
    assert np.isnan(fit(columns({"control": control, "k4": raised}), "control").variance).all()
    assert np.isnan(fit(columns({"control": {1: 0.3}, "k4": {1: 0.5}}), "control").variance).all()
