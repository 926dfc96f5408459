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


@dataclass(frozen=True)
class ConfirmedArm:
    """One arm in the confirm stage.

    Attributes:
        name: Of the arm.
        control: Whether it is the control.
        scores: The confirmed metric at each trial's best validation epoch, by seed, of finished trials.
        spread: Of the scores.
        paired: Against the control; None for the control itself.
        p: Of the paired t test, by Holm's method corrected for all confirmed arms; None where there is no test.
        word: The verdict against plain fine-tuning; None where there is no test.
        pairs_needed: Seeds that a true difference of the size observed would take to be seen; None where unknown.
        metrics: Mean of every metric at the best epoch.
        complete: Whether it finished all seeds of the stage.
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


@dataclass(frozen=True)
class Verdict:
    """What the confirm stage has found so far.

    Attributes:
        metric: What it is about.
        on_test: Whether that was measured on test sets, which no choice was made on.
        arms: The best mean first, the control among them.
        control: Its name.
        best: The arm with the best mean among those that finished all seeds; the control where none is better.
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
    scores = {name: {r.seed: _score(study, r) for r in those} for name, those in by_arm.items()}
    scores.setdefault(control, {})
    pairs = {name: paired(those, scores[control]) for name, those in scores.items() if name != control}
    tested = {name: each.p for name, each in pairs.items() if each.p is not None}
    corrected = dict(zip(tested, holm([*tested.values()]), strict=True))

    def arm(name: str) -> ConfirmedArm:
        pair, p = pairs.get(name), corrected.get(name)
        difference, std = (pair.spread.mean, pair.spread.std) if pair else (None, None)
        needed = pairs_needed(difference, std, len(pairs)) if difference is not None and std else None
        return ConfirmedArm(
            name,
            name == control,
            scores[name],
            spread([*scores[name].values()]),
            pair,
            p,
            None if p is None or difference is None else _word(p, sign * difference),
            needed,
            mean_metrics([record.best for record in by_arm.get(name, []) if record.best]),
            len(scores[name]) == len(study.confirm_seeds),
        )

    arms = sorted((arm(name) for name in by_arm if by_arm[name]), key=lambda each: -sign * (each.spread.mean or 0))
    best = next((each.name for each in arms if each.complete), None)
    complete = all(len(scores[each.name]) == len(study.confirm_seeds) for each in contenders)
    return Verdict(study.confirmed_metric, bool(study.test), arms, control, best, complete)


def _word(p: float, gain: float) -> Word:
    if p >= ALPHA:
        return "not distinguishable"
    return "better" if gain > 0 else "worse"


def _score(study: StudyConfig, record: Record) -> float:
    assert record.best is not None
    return objective(study.confirmed_metric, record.best)
