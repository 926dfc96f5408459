"""The hours that a study's trials took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


@dataclass(frozen=True)
class Hours:
    """What some trials took.

    Attributes:
        trials: Number of trials.
        hours: Sum of their durations; more than the wall time where trials ran side by side.
        cpu_hours: Hours times the CPUs that each trial reserved.
        gpu_hours: Hours times the GPUs that each trial reserved.
    """

    trials: int
    hours: float
    cpu_hours: float
    gpu_hours: float


@dataclass(frozen=True)
class StageSpent:
    """What the ended trials of a stage took, by outcome.

    Attributes:
        wall_hours: Time in which at least one trial of the stage ran.
        finished: Trials that reached their last epoch.
        stopped: Trials that ASHA stopped.
        failed: Trials that ended with an error.
    """

    wall_hours: float
    finished: Hours
    stopped: Hours
    failed: Hours


@dataclass(frozen=True)
class StudySpent(StageSpent):
    """What all ended trials of a study took.

    Attributes:
        stages: The same for each stage that has begun, `search` and `confirm`.
    """

    stages: dict[str, StageSpent]


def spent(study: StudyConfig, records: Iterable[Record]) -> StudySpent:
    """Wall, CPU and GPU hours of the trials that have ended.

    Args:
        study: The study, for the resources of one trial.
        records: The records of its ended trials.
    """
    by_stage: dict[str, list[Record]] = {}
    for record in records:
        by_stage.setdefault(record.stage, []).append(record)
    stages = {stage: _stage_spent(study, of_stage) for stage, of_stage in by_stage.items()}
    whole = _stage_spent(study, [record for of_stage in by_stage.values() for record in of_stage])
    return StudySpent(**vars(whole), stages=stages)


def _stage_spent(study: StudyConfig, records: list[Record]) -> StageSpent:
    seconds = covered([(record.started, record.started + record.seconds) for record in records])
    finished, stopped, failed = (
        _hours(study, [record for record in records if record.outcome == outcome])
        for outcome in ("finished", "stopped", "failed")
    )
    return StageSpent(seconds / 3600, finished, stopped, failed)


def _hours(study: StudyConfig, records: list[Record]) -> Hours:
    hours = sum(record.seconds for record in records) / 3600
    workers = study.resources.workers
    return Hours(
        len(records),
        hours,
        hours * workers * (study.resources.cpus or 1),
        hours * workers * (study.resources.gpus or 0),
    )


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
