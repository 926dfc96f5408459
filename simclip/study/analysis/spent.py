"""What a study has cost so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


@dataclass(frozen=True)
class Spent:
    """What trials took, in hours.

    Attributes:
        trials: How many.
        hours: The sum of their durations, which is more than a clock showed where they ran side by side.
        cpu_hours: Times the CPUs that they reserved.
        gpu_hours: Times the GPUs that they reserved.
    """

    trials: int
    hours: float
    cpu_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class StageCost:
    """What the ended trials of a stage took, by how they ended.

    Attributes:
        wall_hours: During which at least one of them ran.
        finished: Those that reached their last epoch.
        stopped: Those that ASHA stopped.
        failed: Those that ended in an error.
    """

    wall_hours: float
    finished: Spent
    stopped: Spent
    failed: Spent


@dataclass(frozen=True)
class Cost(StageCost):
    """What all ended trials took.

    Attributes:
        stages: The same of each stage that has begun, `search` and `confirm`.
    """

    stages: dict[str, StageCost]


def cost(study: StudyConfig, records: Mapping[str, Record]) -> Cost:
    """Wall, CPU and GPU hours of the trials that have ended.

    Args:
        study: The study, for what one trial reserves.
        records: Its trials.
    """
    by_stage: dict[str, list[Record]] = {}
    for record in records.values():
        by_stage.setdefault(record.stage, []).append(record)
    stages = {stage: _stage_cost(study, those) for stage, those in by_stage.items()}
    return Cost(**vars(_stage_cost(study, records.values())), stages=stages)


def _stage_cost(study: StudyConfig, records: Iterable[Record]) -> StageCost:
    ended = [record for record in records if record.outcome is not None]
    seconds = covered([(record.started, record.started + record.seconds) for record in ended])
    finished, stopped, failed = (
        _spent(study, [record for record in ended if record.outcome == outcome])
        for outcome in ("finished", "stopped", "failed")
    )
    return StageCost(seconds / 3600, finished, stopped, failed)


def _spent(study: StudyConfig, records: list[Record]) -> Spent:
    hours = sum(record.seconds for record in records) / 3600
    workers = study.resources.workers
    return Spent(
        len(records),
        hours,
        hours * workers * (study.resources.cpus or 1),
        hours * workers * (study.resources.gpus or 0),
    )


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of some intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
