"""The noise of the test items, beside simulated test sets and seeds whose variances are known."""

from __future__ import annotations

import numpy as np
import pytest

from simclip.study.analysis.comparison.item_noise import item_covariance

Moves = dict[str, dict[int, np.ndarray]]


def simulated(rng: np.random.Generator, seeds: int, images: int, by_image: float, by_both: float) -> Moves:
    """Two arms and a control: each image is easy or hard for all, for an arm, and for an arm on a seed."""
    ease = 3 * rng.standard_normal(images)
    own = {arm: by_image * rng.standard_normal(images) for arm in ("control", "a", "b")}
    found: Moves = {}
    for arm, of_arm in own.items():
        found[arm] = {}
        for seed in range(seeds):
            score = ease + of_arm + by_both * rng.standard_normal(images)
            found[arm][seed] = (score - score.mean()) / images
    return found


def test_it_is_the_variance_over_draws_of_images() -> None:
    """The images' own part: 2 by_image^2 / images for each difference, half of it shared through the control."""
    rng = np.random.default_rng(0)
    covariances = [item_covariance(simulated(rng, 3, 50, 1.0, 2.0), "control") for _ in range(400)]
    mean = np.mean([each for each in covariances if each is not None], axis=0)
    assert mean == pytest.approx(np.array([[2, 1], [1, 2]]) / 50, rel=0.2)


def test_what_differs_from_seed_to_seed_is_not_counted_twice() -> None:
    rng = np.random.default_rng(1)
    covariances = [item_covariance(simulated(rng, 5, 200, 0.0, 1.0), "control") for _ in range(100)]
    mean = np.mean([each for each in covariances if each is not None], axis=0)
    in_the_seeds_scatter = 2 / 5 / 200
    assert 0 <= mean[0, 0] < 0.25 * in_the_seeds_scatter


def test_failed_trials_leave_the_others_their_worth() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        moves = simulated(rng, 5, 50, 1.0, 1.0)
        del moves["a"][0], moves["control"][3], moves["b"][4]
        covariance = item_covariance(moves, "control")
        assert covariance is not None
        found.append(covariance)
    assert np.mean(found, axis=0) == pytest.approx(np.array([[2, 1], [1, 2]]) / 50, rel=0.2)


def test_it_is_a_covariance() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        covariance = item_covariance(simulated(rng, 3, 20, 0.1, 3.0), "control")
        assert covariance is not None and (np.linalg.eigvalsh(covariance) >= -1e-12).all()
        assert covariance == pytest.approx(covariance.T)


def test_without_the_same_images_or_seeds_nothing_is_known() -> None:
    moves = simulated(np.random.default_rng(4), 3, 20, 1.0, 1.0)
    moves["a"][0] = moves["a"][0][:10]
    assert item_covariance(moves, "control") is None
    assert item_covariance({arm: {} for arm in moves}, "control") is None
    single = {arm: {0: np.ones(4)} for arm in ("control", "a")}
    assert item_covariance(single, "control") is None
