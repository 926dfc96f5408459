"""Studies whose test items are a sample too: arms are equal on all items that there might be, not on the sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simclip.runtime.randomness import generator
from simclip.study.analysis.comparison.compare import word
from simclip.study.analysis.comparison.item_noise import item_covariance
from simclip.study.analysis.comparison.looks import Looks, Plan, follow
from tests.calibration.cases import CONTROL

IMAGES = 50
#: Standard deviations over images of what an arm is good at, on every seed and on one; and over seeds, of scores.
BY_ARM, BY_TRIAL, BY_SEED = 3.0, 3.0, 0.5**0.5
DECIDED = ("better", "worse")


def false_verdicts(arms: int, looks: Sequence[int], studies: int) -> tuple[float, float]:
    """The shares of studies with a false better or worse of any arm: with the noise of items, and of seeds alone."""
    covered = alone = 0
    for number in range(studies):
        found = _study(arms, looks, generator(1, "calibration of items", arms, looks[-1], number))
        looked = [arm for look in found.taken for arm in look.arms.values()]
        covered += any(arm.word in DECIDED for arm in looked)
        alone += any(word(arm.on_these_items, "max", None) in DECIDED for arm in looked)
    return covered / studies, alone / studies


def _study(arms: int, looks: Sequence[int], draw: np.random.Generator) -> Looks:
    """One study without any true difference; arms go on until a look decides about them."""
    names, seeds = [CONTROL, *(f"arm {number}" for number in range(arms))], range(looks[-1])
    ease, shared = 9 * draw.normal(size=IMAGES), draw.normal(size=looks[-1])
    scores: dict[str, dict[int, float]] = {}
    moves: dict[str, dict[int, np.ndarray]] = {}
    for name in names:
        own = ease + BY_ARM * draw.normal(size=IMAGES)
        by_item = {seed: own + BY_TRIAL * draw.normal(size=IMAGES) for seed in seeds}
        scores[name] = {seed: by_item[seed].mean() + shared[seed] + BY_SEED * draw.normal() for seed in seeds}
        moves[name] = {seed: (each - each.mean()) / IMAGES for seed, each in by_item.items()}
    decided: dict[str, int] = {}

    def until(seeds: int, by_arm: dict[str, dict[int, np.ndarray]] | dict[str, dict[int, float]]) -> dict:
        return {
            name: {seed: each for seed, each in own.items() if seed < min(seeds, decided.get(name, seeds))}
            for name, own in by_arm.items()
        }

    taken = []
    for look in looks:
        found = follow(
            plan=Plan(tuple(looks), None),
            wanted=looks,
            taken=taken,
            arms=names[1:],
            control=CONTROL,
            mode="max",
            scores=lambda seeds: until(seeds, scores),
            items=lambda seeds: item_covariance(until(seeds, moves), CONTROL),
            ended=lambda name, seeds, most=look: seeds <= most,
        )
        taken, decided = found.taken, {name: at.seeds for name, at in found.decided.items()}
    return found
