"""Looks at a stage that compares arms with a control: what each decides, who goes on, and what all of them may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from simclip.study.analysis.comparison.compare import Difference, Word, compare, word
from simclip.study.analysis.comparison.spending import spent_per_look
from simclip.study.analysis.comparison.two_way import Floats, Scores
from simclip.study.analysis.statistics import ALPHA

#: Words after which an arm takes no more seeds.
FINAL = tuple(each for each in get_args(Word) if each != "undecided")


@dataclass(frozen=True)
class Plan:
    """What was planned before the stage began.

    Attributes:
        seeds: The numbers of seeds at which to look, growing.
        margin: The largest difference that does not matter, in the metric's unit; None if none was stated.
    """

    seeds: tuple[int, ...]
    margin: float | None


@dataclass(frozen=True)
class Looked:
    """One arm at a look; everything is None without a test.

    Attributes:
        word: The verdict.
        difference: The difference from the control that it is about, with the noise of seeds and of test items.
        on_these_items: The difference with the noise of seeds alone.
    """

    word: Word | None
    difference: Difference | None
    on_these_items: Difference | None


@dataclass(frozen=True)
class Look:
    """A look that was taken.

    Attributes:
        seeds: Number of seeds of the arms that were not decided before.
        level: Probability of a false verdict that it was taken at.
        arms: What it found about those arms.
        scored: The seeds with a score, of every arm and the control.
        covers_items: Whether the noise of test items was known.
    """

    seeds: int
    level: float
    arms: dict[str, Looked]
    scored: dict[str, list[int]]
    covers_items: bool

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Look:
        """A look as the log has it."""
        arms = {
            name: Looked(arm["word"], _difference(arm["difference"]), _difference(arm["on_these_items"]))
            for name, arm in content["arms"].items()
        }
        return cls(content["seeds"], content["level"], arms, dict(content["scored"]), content["covers_items"])


@dataclass(frozen=True)
class Looks:
    """How far a stage has come.

    Attributes:
        plan: What was planned.
        taken: The looks that were taken, in order.
        next: The number of seeds of the next look; None once nothing is left to decide, or to look at.
        worst: The probability of a false verdict, at worst: the levels of all looks, taken and to come. Above 5%, the
            stage has been looked at more often than planned.
    """

    plan: Plan
    taken: list[Look]
    next: int | None
    worst: float

    @property
    def decided(self) -> dict[str, Look]:
        """The look that decided about an arm, by the arm's name."""
        return {name: look for look in self.taken for name, arm in look.arms.items() if arm.word in FINAL}

    @property
    def latest(self) -> dict[str, Look]:
        """The last look at each arm."""
        return {name: look for look in self.taken for name in look.arms}

    def level(self, seeds: int) -> float:
        """The level of a look: its part of 5% if it was planned, otherwise all of 5%."""
        return spent_per_look(self.plan.seeds, ALPHA).get(seeds, ALPHA)


def follow(
    *,
    plan: Plan,
    wanted: Sequence[int],
    taken: Sequence[Look],
    arms: Sequence[str],
    control: str,
    mode: Literal["max", "min"],
    scores: Callable[[int], Scores],
    items: Callable[[int], Floats | None],
    ended: Callable[[str, int], bool],
) -> Looks:
    """Take every look that is due.

    A look is due once the control and all arms that are not decided have ended on its seeds. Decided arms keep their
    word, and their scores still tell the noise. All arms count as tested at each look. After the last look, trials that
    had failed may have run again: then there is another look at the same seeds.

    Args:
        plan: What was planned before the stage began.
        wanted: The looks that the study asks for now.
        taken: The looks that are on record.
        arms: The arms to judge, besides the control.
        control: Name of the control.
        mode: Whether larger or smaller scores are better.
        scores: The scores by arm and seed on the first so many seeds.
        items: The covariance of the differences over draws of test items, from the trials on the first so many seeds.
        ended: Whether an arm has ended on the first so many seeds.
    """
    looks = Looks(plan, [*taken], None, 0.0)

    def over(seeds: int) -> bool:
        return all(ended(name, seeds) for name in (control, *arms) if name not in looks.decided)

    while True:
        last = looks.taken[-1] if looks.taken else None
        open_arms = [name for name in arms if name not in looks.decided]
        passed = [seeds for seeds in plan.seeds if over(seeds)]
        coming = sorted(seeds for seeds in {*wanted, *passed} if seeds > (last.seeds if last else 0))
        due = coming[0] if coming else None
        if last and due is None and open_arms and (not over(last.seeds) or _more(last, open_arms, scores(last.seeds))):
            due = last.seeds
        if not open_arms or due is None:
            return _with_worst(looks, None, [])
        if not over(due):
            return _with_worst(looks, due, coming or [due])
        looks.taken.append(_take(looks, due, open_arms, control, mode, scores(due), items(due)))


def compared(
    scores: Scores, control: str, level: float, items: Floats | None
) -> dict[str, tuple[Difference, Difference]]:
    """Each arm's difference with the noise of seeds and items, and with that of seeds alone; see `compare`."""
    alone = compare(scores, control, level) if control in scores else {}
    both = alone if items is None else compare(scores, control, level, items)
    return {name: (both[name], alone[name]) for name in alone}


def _take(
    looks: Looks,
    seeds: int,
    arms: Sequence[str],
    control: str,
    mode: Literal["max", "min"],
    scores: Scores,
    items: Floats | None,
) -> Look:
    """Look at the arms that are not decided, and at others with scores."""
    found = compared(scores, control, looks.level(seeds), items)
    judged = {}
    for name in {**dict.fromkeys(arms), **scores}:
        if name != control and name not in looks.decided:
            both, alone = found.get(name, (None, None))
            judged[name] = Looked(word(both, mode, looks.plan.margin), both, alone)
    scored = {name: sorted(own) for name, own in scores.items()}
    return Look(seeds, looks.level(seeds), judged, scored, items is not None)


def _difference(content: Mapping[str, Any] | None) -> Difference | None:
    return Difference(**content) if content else None


def _with_worst(looks: Looks, due: int | None, coming: Sequence[int]) -> Looks:
    worst = sum(look.level for look in looks.taken) + sum(looks.level(seeds) for seeds in coming)
    return Looks(looks.plan, looks.taken, due, worst)


def _more(last: Look, arms: Sequence[str], scores: Scores) -> bool:
    """Whether an undecided arm has scores now that the last look had not."""
    return any(set(scores.get(name, {})) - set(last.scored.get(name, [])) for name in arms)
