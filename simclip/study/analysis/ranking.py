"""Arms over their seeds, ranked; from trial records alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from simclip.study.store.records import Record
from simclip.train.history import Row

NOT_METRICS = ("epoch", "seconds", "pairs_per_second", "mfu")


@dataclass(frozen=True)
class ArmResult:
    """One arm over its seeds.

    Attributes:
        scores: The objective at the best epoch, by seed, of the trials that have one and did not fail.
        mean: Of the scores; None where there are none.
        std: Sample standard deviation of the scores; None below two.
        difference: Mean difference to the best control on the seeds that both have.
        metrics: Mean of every metric at the best epoch.
        complete: Whether every trial of the arm that has ended was finished, none failed or stopped.
    """

    name: str
    control: bool
    scores: dict[int, float]
    mean: float | None
    std: float | None
    difference: float | None
    metrics: dict[str, float]
    complete: bool


def rank_arms(records: Mapping[str, Record]) -> list[ArmResult]:
    """All arms that have an ended trial, the best mean first; arms without a score come last."""
    if not records:
        return []
    sign = 1 if next(iter(records.values())).config.mode == "max" else -1
    by_arm: dict[str, list[Record]] = {}
    for record in records.values():
        by_arm.setdefault(record.arm, []).append(record)
    means = {name: _mean(list(_scores(those).values())) for name, those in by_arm.items()}

    def place(name: str) -> tuple[bool, float]:
        mean = means[name]
        return mean is None, -sign * (mean or 0.0)

    order = sorted(by_arm, key=place)
    control = next((name for name in order if by_arm[name][0].control and means[name] is not None), None)
    return [_arm_result(name, by_arm[name], by_arm.get(control or "", [])) for name in order]


def _arm_result(name: str, records: list[Record], control: list[Record]) -> ArmResult:
    scores, reference = _scores(records), _scores(control)
    shared = [scores[seed] - reference[seed] for seed in scores if seed in reference]
    return ArmResult(
        name,
        records[0].control,
        scores,
        _mean(list(scores.values())),
        statistics.stdev(scores.values()) if len(scores) > 1 else None,
        _mean(shared),
        mean_metrics([record.best for record in records if record.best and record.seed in scores]),
        all(record.outcome == "finished" for record in records),
    )


def _scores(records: list[Record]) -> dict[int, float]:
    """By seed, of the trials that have one; what a failed trial had reached is no score."""
    ended = sorted((r for r in records if r.outcome != "failed"), key=lambda r: r.seed)
    return {r.seed: r.score for r in ended if r.score is not None}


def scored(records: Mapping[str, Record]) -> list[tuple[Record, float]]:
    """The search's trials that have ended with a score; what a failed one had reached is none."""
    ended = [each for each in records.values() if each.stage == "search" and each.outcome in ("finished", "stopped")]
    return [(each, each.score) for each in ended if each.score is not None]


def arm_means(records: Mapping[str, Record]) -> dict[str, float]:
    """By arm, the mean score of its trials that count."""
    scores: dict[str, list[float]] = {}
    for record, score in scored(records):
        scores.setdefault(record.arm, []).append(score)
    return {arm: statistics.fmean(those) for arm, those in scores.items()}


def mean_metrics(rows: list[Row]) -> dict[str, float]:
    """The mean of every evaluation metric over some rows."""
    names = [name for name in (rows[0] if rows else {}) if name not in NOT_METRICS and not _is_clock(name)]
    return {name: statistics.fmean(row[name] for row in rows) for name in names}


def untouched_metrics(records: Mapping[str, Record]) -> dict[str, float]:
    """What the model scored before any training, as the first record has it."""
    rows = [record.history[0] for record in records.values() if record.history]
    return mean_metrics(rows[:1])


def best_arm(records: Mapping[str, Record], seeds: int) -> ArmResult | None:
    """The arm with the best mean among those that finished all of their seeds."""
    whole = [arm for arm in rank_arms(records) if arm.complete and len(arm.scores) >= seeds]
    return whole[0] if whole else None


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _is_clock(name: str) -> bool:
    return name.startswith("share/")
