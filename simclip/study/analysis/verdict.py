"""The verdict of the confirm stage about each arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from simclip.evaluation.objective import objective
from simclip.study.analysis.comparison.compare import Difference, Word, compare, word
from simclip.study.analysis.comparison.dunnett import seeds_needed
from simclip.study.analysis.comparison.item_noise import item_covariance
from simclip.study.analysis.comparison.two_way import Floats
from simclip.study.analysis.ranking import ArmResult, mean_metrics
from simclip.study.analysis.statistics import ALPHA, MIN_PAIRS, POWER, Paired, Spread, holm, paired, spread
from simclip.study.spec.study import StudyConfig
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.records import Record

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
        word: The verdict against plain fine-tuning; None without a test.
        paired: Differences seed by seed, and the paired t test, which does without the other arms' noise; None for the
            control itself.
        holm: p-value of the paired t test, corrected for all confirmed arms (Holm); None without a test.
        pairs_needed: Number of seeds of a new study that would detect a true difference of the observed size; None if
            unknown.
        metrics: Mean of every metric at the best epoch.
        complete: Whether the arm finished all seeds of the stage.
    """

    name: str
    control: bool
    scores: dict[int, float]
    spread: Spread
    difference: Difference | None
    on_these_items: Difference | None
    p: float | None
    word: Word | None
    paired: Paired | None
    holm: float | None
    pairs_needed: int | None
    metrics: dict[str, float]
    complete: bool

    @property
    def gain(self) -> float | None:
        """The difference from the control; without a test, the mean of the differences seed by seed."""
        if self.difference:
            return self.difference.value
        return self.paired.spread.mean if self.paired else None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the confirm stage has found so far.

    Attributes:
        metric: The confirmed metric.
        mode: Whether larger or smaller values are better.
        margin: The largest difference that does not matter; None if none was stated.
        on_test: Whether it was measured on test sets, which took no part in any choice.
        covers_items: Whether intervals and words take into account that other test items would give other figures.
        arms: The confirmed arms and the control, the best mean first.
        control: Name of the control.
        best: Name of the arm with the best mean among those that finished all seeds; it may be the control.
        complete: Whether every contender has finished all seeds.
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


def judge(
    study: StudyConfig, contenders: Sequence[ArmResult], records: Iterable[Record], items: ItemFiles | None = None
) -> Verdict | None:
    """Compare every confirmed arm with the control.

    Args:
        study: The study.
        contenders: The arms that the confirm stage compares, the control first.
        records: The ended trials of the confirm stage. An arm that was confirmed before the search was extended counts
            too, although it may no longer be a contender.
        items: The files with the trials' test items; None covers no items.

    Returns:
        None before a trial has finished.
    """
    confirmed = list(records)
    by_arm: dict[str, list[Record]] = {arm.name: [] for arm in contenders}
    for record in confirmed:
        if record.outcome == "finished" and record.best:
            by_arm.setdefault(record.arm, []).append(record)
    controls = [arm.name for arm in contenders[:1]] + [record.arm for record in confirmed if record.control]
    if not any(by_arm.values()) or not controls:
        return None
    control = controls[0]
    scores = {name: {record.seed: _score(study, record) for record in trials} for name, trials in by_arm.items()}
    scores.setdefault(control, {})
    scored = {name: own for name, own in scores.items() if own}
    noise = _item_covariance(study, by_arm, control, items) if scores[control] else None
    on_these = compare(scored, control, ALPHA) if scores[control] else {}
    compared = on_these if noise is None else compare(scored, control, ALPHA, noise)
    pairs = {name: paired(own, scores[control]) for name, own in scores.items() if name != control}
    tested = {name: each.p for name, each in pairs.items() if each.p is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))

    def arm(name: str) -> ConfirmedArm:
        difference = compared.get(name)
        return ConfirmedArm(
            name=name,
            control=name == control,
            scores=scores[name],
            spread=spread([*scores[name].values()]),
            difference=difference,
            on_these_items=on_these.get(name),
            p=difference.p if difference else None,
            word=word(difference, study.mode, None),
            paired=pairs.get(name),
            holm=corrected.get(name),
            pairs_needed=_seeds_needed(difference, len(scores[name]), len(pairs)) if difference else None,
            metrics=mean_metrics([record.best for record in by_arm[name] if record.best]),
            complete=len(scores[name]) == len(study.confirm_seeds),
        )

    sign = 1 if study.mode == "max" else -1
    arms = sorted((arm(name) for name in by_arm if by_arm[name]), key=lambda each: -sign * (each.spread.mean or 0))
    best = next((each.name for each in arms if each.complete), None)
    complete = all(len(scores[each.name]) == len(study.confirm_seeds) for each in contenders)
    return Verdict(
        metric=study.confirmed_metric,
        mode=study.mode,
        margin=None,
        on_test=bool(study.test),
        covers_items=noise is not None,
        arms=arms,
        control=control,
        best=best,
        complete=complete,
    )


def _item_covariance(
    study: StudyConfig, by_arm: Mapping[str, Sequence[Record]], control: str, items: ItemFiles | None
) -> Floats | None:
    """The covariance of the differences over draws of test items; None unless every trial has kept its items."""
    if items is None:
        return None
    moves: dict[str, dict[int, Floats]] = {name: {} for name, trials in by_arm.items() if trials}
    for name, own in moves.items():
        for record in by_arm[name]:
            moved = items.scatter(record, study.confirmed_metric)
            if moved is None:
                return None
            own[record.seed] = moved
    return item_covariance(moves, control)


def _seeds_needed(difference: Difference, seeds: int, arms: int) -> int | None:
    """The seeds that detect a true difference of the observed size, given the noise and the number of arms."""
    deviation = difference.error * math.sqrt(seeds)
    return seeds_needed(difference.value / deviation, arms, ALPHA, POWER, MIN_PAIRS, MOST_SEEDS)


def _score(study: StudyConfig, record: Record) -> float:
    assert record.best is not None
    return objective(study.confirmed_metric, record.best)
