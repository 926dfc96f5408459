"""The verdict of the confirm stage about each arm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from simclip.evaluation.objective import objective
from simclip.study.analysis.ranking import ArmResult, mean_metrics
from simclip.study.analysis.statistics import ALPHA, Paired, Spread, holm, paired, pairs_needed, spread
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record

Word = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True, kw_only=True)
class ConfirmedArm:
    """One arm in the confirm stage.

    Attributes:
        name: The arm's name.
        control: Whether the arm is the control.
        scores: The confirmed metric at the best validation epoch of each finished trial, by seed.
        spread: Summary of the scores.
        paired: Comparison with the control; None for the control itself.
        p: p-value of the paired t test, corrected for all confirmed arms (Holm); None without a test.
        word: The verdict against plain fine-tuning; None without a test.
        pairs_needed: Number of seeds that would detect a true difference of the observed size; None if unknown.
        metrics: Mean of every metric at the best epoch.
        complete: Whether the arm finished all seeds of the stage.
    """

    name: str
    control: bool
    scores: dict[int, float]
    spread: Spread
    paired: Paired | None
    p: float | None
    word: Word | None
    pairs_needed: int | None
    metrics: dict[str, float]
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the confirm stage has found so far.

    Attributes:
        metric: The confirmed metric.
        on_test: Whether it was measured on test sets, which took no part in any choice.
        arms: The confirmed arms and the control, the best mean first.
        control: Name of the control.
        best: Name of the arm with the best mean among those that finished all seeds; it may be the control.
        complete: Whether every contender has finished all seeds.
    """

    metric: str | dict[str, float]
    on_test: bool
    arms: list[ConfirmedArm]
    control: str
    best: str | None
    complete: bool


def judge(study: StudyConfig, contenders: Sequence[ArmResult], records: Iterable[Record]) -> Verdict | None:
    """Compare every confirmed arm with the control.

    Args:
        study: The study.
        contenders: The arms that the confirm stage compares, the control first.
        records: The ended trials of the confirm stage. An arm that was confirmed before the search was extended counts
            too, although it may no longer be a contender.

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
    sign, control = (1 if study.mode == "max" else -1), controls[0]
    scores = {name: {record.seed: _score(study, record) for record in trials} for name, trials in by_arm.items()}
    scores.setdefault(control, {})
    pairs = {name: paired(own, scores[control]) for name, own in scores.items() if name != control}
    tested = {name: each.p for name, each in pairs.items() if each.p is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))

    def arm(name: str) -> ConfirmedArm:
        pair, p = pairs.get(name), corrected.get(name)
        difference, std = (pair.spread.mean, pair.spread.std) if pair else (None, None)
        needed = pairs_needed(difference, std, len(pairs)) if difference is not None and std else None
        return ConfirmedArm(
            name=name,
            control=name == control,
            scores=scores[name],
            spread=spread([*scores[name].values()]),
            paired=pair,
            p=p,
            word=None if p is None or difference is None else _word(p, sign * difference),
            pairs_needed=needed,
            metrics=mean_metrics([record.best for record in by_arm[name] if record.best]),
            complete=len(scores[name]) == len(study.confirm_seeds),
        )

    arms = sorted((arm(name) for name in by_arm if by_arm[name]), key=lambda each: -sign * (each.spread.mean or 0))
    best = next((each.name for each in arms if each.complete), None)
    complete = all(len(scores[each.name]) == len(study.confirm_seeds) for each in contenders)
    return Verdict(
        metric=study.confirmed_metric,
        on_test=bool(study.test),
        arms=arms,
        control=control,
        best=best,
        complete=complete,
    )


def _word(p: float, gain: float) -> Word:
    if p >= ALPHA:
        return "not distinguishable"
    return "better" if gain > 0 else "worse"


def _score(study: StudyConfig, record: Record) -> float:
    assert record.best is not None
    return objective(study.confirmed_metric, record.best)
