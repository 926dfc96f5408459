"""What planned looks cost and find, simulated: how many trials they take, and the power of each look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from simclip.runtime.randomness import generator
from simclip.study.analysis.comparison.compare import Words, compare_each
from simclip.study.analysis.comparison.spending import spent_per_look
from simclip.study.analysis.comparison.two_way import Table
from simclip.study.analysis.statistics import ALPHA

#: Number of simulated studies. Probabilities are exact to about 0.01.
STUDIES = 2000
CONTROL = "control"


@dataclass(frozen=True)
class Ends:
    """How each of several studies ended.

    Attributes:
        words: The verdict about each arm, str (arms, studies).
        seeds: The look that decided about it, or the last one, int64 (arms, studies).
    """

    words: Words
    seeds: NDArray[np.int64]

    @property
    def trials(self) -> NDArray[np.int64]:
        """Number of trials of each study; the control runs as long as any arm, int64 (studies,)."""
        return self.seeds.sum(0) + self.seeds.max(0)


def take_looks(
    scores: Table, control: str, looks: Sequence[int], mode: Literal["max", "min"] = "max", margin: float | None = None
) -> Ends:
    """Take all planned looks at several studies, as `looks.follow` takes them at one.

    Args:
        scores: By arm and seed, float64 (studies,) each. Seeds are numbered from 0, in the order in which they run.
        control: Name of the control.
        looks: Numbers of seeds at which to look, growing.
        mode: Whether larger or smaller scores are better.
        margin: The largest difference that does not matter; None if none was stated.
    """
    names = [name for name in scores if name != control]
    studies = len(next(iter(scores[control].values())))
    words = np.full((len(names), studies), "undecided", "<U12")
    seeds = np.full(words.shape, looks[-1], np.int64)
    for look, level in spent_per_look(looks, ALPHA).items():
        until = np.where(words == "undecided", look, seeds)
        patterns, places = np.unique(until, axis=1, return_inverse=True)
        for number, ran in enumerate(patterns.T):
            if not (going := ran == look).any():
                continue
            chosen = np.flatnonzero(places.reshape(-1) == number)
            kept = {control: look, **dict(zip(names, ran.tolist(), strict=True))}
            parts = {
                name: {seed: score[chosen] for seed, score in scores[name].items() if seed < most}
                for name, most in kept.items()
            }
            if not parts[control]:  # all of its trials have failed so far
                continue
            found = compare_each({name: own for name, own in parts.items() if own}, control, level)
            for name, said in zip(found.names, found.words(mode, margin), strict=True):
                if going[place := names.index(name)]:
                    decided = said != "undecided"
                    words[place, chosen[decided]] = said[decided]
                    seeds[place, chosen[decided]] = look
    return Ends(words, seeds)


@dataclass(frozen=True)
class Prospect:
    """What to expect of planned looks, if one arm differs from the control and the others do not.

    Attributes:
        effect: The true difference in standard deviations of the differences seed by seed; 0 if nothing differs.
        trials: Mean number of trials, the control's included.
        seeds: Mean number of seeds of an arm.
        detected: By number of seeds, the probability that the arm was found to differ, in the right direction, at that
            look or before.
    """

    effect: float
    trials: float
    seeds: float
    detected: dict[int, float]


@dataclass(frozen=True)
class Outlook:
    """What to expect of a confirm stage, margin and test items apart.

    Attributes:
        arms: Number of arms besides the control.
        none: If nothing differs.
        one: If one arm differs by the smallest difference that is detected with the probability asked for.
    """

    arms: int
    none: Prospect
    one: Prospect


def outlook(arms: int, looks: Sequence[int], chance: float) -> Outlook:
    """What to expect of planned looks, of which the first takes at least three seeds."""
    return Outlook(arms, prospect(arms, looks, 0.0), prospect(arms, looks, detectable(arms, looks, chance)))


def prospect(arms: int, looks: Sequence[int], effect: float) -> Prospect:
    """Simulate studies with normal noise, the same in all arms; the same numbers in each call.

    Args:
        arms: Number of arms besides the control.
        looks: Numbers of seeds at which to look, growing, at least 3.
        effect: The true difference of one arm in standard deviations of the differences seed by seed.
    """
    ends = take_looks(_differing(_noise(arms, looks[-1]), effect), CONTROL, looks)
    found = (ends.words[0] == "better")[None] & (ends.seeds[0] <= np.array(looks)[:, None])
    return Prospect(
        effect=effect,
        trials=float(ends.trials.mean()),
        seeds=float(ends.seeds.mean()),
        detected=dict(zip(looks, found.mean(1).tolist(), strict=True)),
    )


def detectable(arms: int, looks: Sequence[int], chance: float) -> float:
    """The smallest true difference that is detected with probability `chance` at any look; the unit of `prospect`."""
    noise = _noise(arms, looks[-1])

    def missing(effect: float) -> float:
        ends = take_looks(_differing(noise, effect), CONTROL, looks)
        return chance - float((ends.words[0] == "better").mean())

    largest = 2.0
    while missing(largest) > 0:
        largest *= 2
    return float(scipy.optimize.bisect(missing, 0.0, largest, xtol=0.01))


def _noise(arms: int, seeds: int) -> Table:
    """Noise by arm and seed; a difference of two has a standard deviation of 1."""
    draw = generator(0, "planned looks", arms, seeds)
    names = [CONTROL, *(f"arm {number}" for number in range(arms))]
    return {name: dict(enumerate(draw.normal(0, 0.5**0.5, (seeds, STUDIES)))) for name in names}


def _differing(noise: Table, effect: float) -> Table:
    """The noise as scores, the first arm's with an effect."""
    return {**noise, "arm 0": {seed: score + effect for seed, score in noise["arm 0"].items()}}
