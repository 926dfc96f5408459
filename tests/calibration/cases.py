"""The cases of the table: how many arms and seeds, and what the noise is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simclip.runtime.randomness import generator
from simclip.study.analysis.comparison.two_way import Table

CONTROL, FIRST = "control", "arm 0"
#: Degrees of freedom of the noise with heavy tails; its standard deviation is made 1.
TAILS = 5


@dataclass(frozen=True)
class Case:
    """A kind of study; the unit of scores is the standard deviation of the differences seed by seed, with equal noise.

    Attributes:
        arms: Number of arms besides the control.
        looks: Numbers of seeds at which to look.
        effect: The true difference of the first arm, where power is asked for.
        tails: The distribution of the noise: normal, or Student's t with 5 degrees of freedom.
        twice: The arm, or the control, whose noise is twice that of the others.
        failing: Probability that a trial fails.
        margin: The largest difference that does not matter.
    """

    arms: int
    looks: tuple[int, ...]
    effect: float
    tails: Literal["normal", "t"] = "normal"
    twice: str | None = None
    failing: float = 0.0
    margin: float | None = None

    @property
    def noise(self) -> str:
        """What the noise is like, in words."""
        said = ["t with 5 df"] if self.tails == "t" else []
        said += [f"{'the control' if self.twice == CONTROL else 'one arm'} twice as noisy"] if self.twice else []
        said += [f"{self.failing:.0%} of trials fail"] if self.failing else []
        return ", ".join(said) or "equal, normal"

    def scores(self, studies: int, block: int, effect: float) -> Table:
        """Scores of several studies by arm and seed, float64 (studies,) each, of which the same trials failed."""
        draw = generator(1, "calibration", block, self.arms, self.looks[-1])
        names, shape = [CONTROL, *(f"arm {number}" for number in range(self.arms))], (self.looks[-1], studies)
        shared, found = 3 * draw.normal(size=shape), {}
        for name in names:
            own = draw.normal(size=shape) if self.tails == "normal" else draw.standard_t(TAILS, shape) * 0.6**0.5
            own *= 0.5**0.5 * (2 if name == self.twice else 1)
            ran = [seed for seed in range(self.looks[-1]) if draw.random() >= self.failing]
            found[name] = {seed: (shared + own)[seed] + (effect if name == FIRST else 0.0) for seed in ran}
        return found


#: A difference that is worth asking about, by the number of seeds.
EFFECTS = {3: 2.0, 5: 1.4, 8: 1.4, 10: 1.0}
ONE_LOOK = [Case(arms, (seeds,), effect) for seeds, effect in EFFECTS.items() for arms in (2, 3, 5, 8)]
LOOKS = [Case(arms, looks, 1.4) for looks in ((3, 5, 8), (3, 5)) for arms in (2, 3, 5, 8)] + [
    Case(3, (4, 7, 10), 1.0),
    Case(3, (3, 5, 8), 4.0),
]
SHAPES = [(2, (3,)), (3, (3,)), (8, (3,)), (3, (5,)), (8, (5,)), (3, (10,)), (3, (3, 5, 8)), (8, (3, 5, 8))]
UNEQUAL = [
    Case(arms, looks, EFFECTS[looks[-1]], **how)
    for how in ({"tails": "t"}, {"twice": FIRST}, {"twice": CONTROL}, {"failing": 0.1})
    for arms, looks in SHAPES
    if not (how.get("failing") and looks == (3,))  # with three seeds, an arm with a failed trial has no verdict
]
CASES = [*ONE_LOOK, *LOOKS, *UNEQUAL]
MARGINS = [
    Case(arms, looks, margin, margin=margin, twice=twice)
    for twice in (None, FIRST, CONTROL)
    for arms, looks, margin in ((3, (5,), 1.5), (3, (8,), 1.0), (3, (3, 5, 8), 1.0), (8, (3, 5, 8), 1.0))
]
