"""The verdict of the confirm stage about each arm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from simclip.study.analysis.comparison.compare import Difference, Word
from simclip.study.analysis.comparison.dunnett import seeds_needed
from simclip.study.analysis.comparison.evidence import Evidence
from simclip.study.analysis.comparison.looks import Looks, compared
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.statistics import ALPHA, MIN_PAIRS, POWER, Paired, Spread, holm, paired, spread
from simclip.study.spec.study import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.store.records import Record
from simclip.train.history import Row

#: Maximum number of seeds that is suggested.
MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """One arm in the confirm stage.

    Attributes:
        name: The arm's name.
        control: Whether the arm is the control.
        scores: The confirmed metric at the best validation epoch of each finished trial, by seed.
        spread: Summary of the scores.
        difference: Difference from the control in the model score = arm + seed + noise, with the noise of seeds and, if
            they were kept, of test items; None for the control itself and without a test.
        on_these_items: The difference with the noise of seeds alone, as it is on these test items.
        p: Its p-value, corrected for all confirmed arms (Dunnett); None without a test.
        word: The verdict against plain fine-tuning; None without a test, and before a look at the arm.
        look: Number of seeds of the look that the word and the difference are from; None before that.
        paired: Differences seed by seed, and the paired t test, which does without the other arms' noise; None for the
            control itself.
        holm: p-value of the paired t test, corrected for all confirmed arms (Holm); None without a test.
        metrics: Mean of every metric at the best epoch.
        complete: Whether the arm finished all seeds that the stage ran it on.
    """

    name: str
    control: bool
    scores: dict[int, float]
    spread: Spread
    difference: Difference | None
    on_these_items: Difference | None
    p: float | None
    word: Word | None
    look: int | None
    paired: Paired | None
    holm: float | None
    metrics: dict[str, float]
    complete: bool

    @property
    def gain(self) -> float | None:
        """The difference from the control; without a test, the mean of the differences seed by seed."""
        if self.difference:
            return self.difference.value
        return self.paired.spread.mean if self.paired else None

    @property
    def pairs_needed(self) -> int | None:
        """Number of seeds of a new study that would detect a true difference of the observed size; None if unknown."""
        if self.difference is None:
            return None
        deviation = self.difference.error * math.sqrt(self.look or len(self.scores))
        arms = self.difference.arms
        return seeds_needed(self.difference.value / deviation, arms, ALPHA, POWER, MIN_PAIRS, MOST_SEEDS)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the confirm stage has found so far.

    Attributes:
        metric: The confirmed metric.
        mode: Whether larger or smaller values are better.
        margin: The largest difference that does not matter; None if none was stated.
        on_test: Whether it was measured on test sets, which took no part in any choice.
        covers_items: Whether intervals and words take into account that other test items would give other figures.
        arms: The confirmed arms and the control, the best difference from the control first.
        control: Name of the control.
        best: Name of the arm with the best difference among those with a score on the first seed that finished all of
            their seeds, or were judged although trials failed; it may be the control.
        complete: Whether nothing is left to decide, or to look at.
    """

    metric: str | dict[str, float]
    mode: Literal["max", "min"]
    margin: float | None
    on_test: bool
    covers_items: bool
    arms: list[ConfirmedArm]
    control: str
    best: str | None
    complete: bool


def judge(study: StudyConfig, records: Iterable[Record], evidence: Evidence, looks: Looks | None) -> Verdict:
    """Collect what the looks at the confirm stage have found about every arm.

    An arm that was confirmed before the search was extended counts too, although it may no longer be a contender.

    Args:
        study: The study.
        records: The ended trials of the confirm stage.
        evidence: What its finished trials have scored.
        looks: The looks that were taken; None if no arms are left to compare.
    """
    control, scores = evidence.control, evidence.scores()
    running = {}
    if looks and looks.next:
        running = compared(scores, control, looks.level(looks.next), evidence.item_covariance())
    pairs = {name: paired(own, scores.get(control, {})) for name, own in scores.items() if name != control}
    tested = {name: each.p for name, each in pairs.items() if each.p is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))
    latest = looks.latest if looks else {}
    decided = looks.decided if looks else {}
    best_rows: dict[str, list[Row]] = {}
    for record in records:
        if record.outcome == "finished" and record.best:
            best_rows.setdefault(record.arm, []).append(record.best)

    def arm(name: str) -> ConfirmedArm:
        look = decided.get(name) or (latest.get(name) if looks and looks.next is None else None)
        found = look.arms[name] if look else None
        both, seeds_alone = (found.difference, found.on_these_items) if found else running.get(name, (None, None))
        return ConfirmedArm(
            name=name,
            control=name == control,
            scores=scores[name],
            spread=spread([*scores[name].values()]),
            difference=both,
            on_these_items=seeds_alone,
            p=both.p if both else None,
            word=found.word if found else None,
            look=look.seeds if look else None,
            paired=pairs.get(name),
            holm=corrected.get(name),
            metrics=mean_metrics(best_rows[name]),
            complete=len(scores[name]) == _asked(study, looks, name, control),
        )

    sign = 1 if study.mode == "max" else -1
    arms = sorted((arm(name) for name in scores if scores[name]), key=lambda each: _place(each, sign))
    return Verdict(
        metric=study.confirmed_metric,
        mode=study.mode,
        margin=looks.plan.margin if looks else study.margin,
        on_test=bool(study.test),
        covers_items=looks.taken[-1].covers_items if looks and looks.taken else evidence.item_covariance() is not None,
        arms=arms,
        control=control,
        best=next((each.name for each in arms if _may_be_best(each)), None),
        complete=looks is not None and looks.next is None,
    )


def _asked(study: StudyConfig, looks: Looks | None, name: str, control: str) -> int:
    """The number of seeds that an arm is run on, as far as it is known."""
    if looks is None:
        return len(study.confirm_seeds)
    if name in looks.decided:
        return looks.decided[name].seeds
    if looks.next is None and looks.taken:
        return max(look.seeds for look in looks.taken) if name == control else looks.taken[-1].seeds
    return len(study.confirm_seeds)


def _may_be_best(arm: ConfirmedArm) -> bool:
    """Whether an arm's first seed, whose model is kept, finished, and all of its others did or it was judged anyway."""
    return FIRST_CONFIRM_SEED in arm.scores and (arm.complete or arm.look is not None)


def _place(arm: ConfirmedArm, sign: int) -> tuple[bool, float, float]:
    """Arms with the better difference from the control first; means decide where there is none."""
    gain = 0.0 if arm.control else arm.gain
    return gain is None, -sign * (gain or 0.0), -sign * (arm.spread.mean or 0.0)
