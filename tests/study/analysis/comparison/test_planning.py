"""Simulated looks: they are those that studies take, and their power is that of textbook tests."""

from __future__ import annotations

import numpy as np
import pytest

from simclip.study.analysis.comparison.dunnett import power
from simclip.study.analysis.comparison.looks import Looks, Plan, follow
from simclip.study.analysis.comparison.planning import detectable, outlook, prospect, take_looks


def after(scores, looks, margin, most: int, decided: dict[str, int]) -> Looks:
    """The looks at one study whose arms ran on so many seeds, fewer where they were decided."""
    names = [*scores]
    return follow(
        plan=Plan(looks, margin),
        wanted=looks,
        taken=[],
        arms=names[1:],
        control=names[0],
        mode="min",
        scores=lambda seeds: {
            name: {seed: score for seed, score in own.items() if seed < min(seeds, decided.get(name, most))}
            for name, own in scores.items()
        },
        items=lambda seeds: None,
        ended=lambda name, seeds: seeds <= decided.get(name, most),
    )


@pytest.mark.parametrize(("looks", "margin", "failed"), [((3, 4, 6), 1.0, ()), ((3, 5), None, (("k1", 2), ("k0", 0)))])
def test_many_studies_end_as_each_of_them_does(looks, margin, failed) -> None:
    draw, gains = np.random.default_rng(len(looks)), {"control": 0.0, "k0": 0.0, "k1": 1.5, "k2": -4.0}
    scores = {
        name: {seed: gain + 0.7 * draw.normal(size=60) for seed in range(looks[-1]) if (name, seed) not in failed}
        for name, gain in gains.items()
    }
    ends = take_looks(scores, "control", looks, "min", margin)
    for study in range(60):
        alone = {name: {seed: float(score[study]) for seed, score in own.items()} for name, own in scores.items()}
        decided: dict[str, int] = {}
        for look in looks:
            found = after(alone, looks, margin, look, decided)
            decided = {name: at.seeds for name, at in found.decided.items()}
        assert [*ends.words[:, study]] == [found.latest[name].arms[name].word for name in [*alone][1:]]
        seeds = [decided.get(name, looks[-1]) for name in [*alone][1:]]
        assert [*ends.seeds[:, study]] == seeds and ends.trials[study] == sum(seeds) + max(seeds)


def test_one_arm_at_one_look_has_the_power_of_the_paired_t_test() -> None:
    for effect, seeds in ((0.0, 3), (1.0, 5), (2.0, 4)):
        found = prospect(1, (seeds,), effect)
        assert found.detected[seeds] == pytest.approx(power(effect, seeds, 1, 0.05), abs=0.03)
        assert (found.trials, found.seeds) == (2 * seeds, seeds)


def test_the_detectable_difference_is_detected_as_often_as_asked_for() -> None:
    effect = detectable(1, (5,), 0.8)
    assert power(effect, 5, 1, 0.05) == pytest.approx(0.8, abs=0.02)
    assert prospect(2, (3, 5), detectable(2, (3, 5), 0.8)).detected[5] == pytest.approx(0.8, abs=0.02)


def test_looks_save_seeds_where_there_is_something_to_see() -> None:
    found = outlook(2, (3, 8), 0.95)
    assert found.arms == 2 and found.one.trials < found.none.trials <= 24
    assert 0 < found.one.detected[3] < found.one.detected[8]
    assert found == outlook(2, (3, 8), 0.95)
