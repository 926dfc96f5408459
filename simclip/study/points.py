"""A trial as a point of the space that was searched."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from simclip.config import CLUSTER_FIELDS, TrainConfig
from simclip.study.config import StudyConfig
from simclip.study.fields import fields_of, settings_of
from simclip.study.records import Record
from simclip.study.space import Parameter

#: The values by which one field alone makes a run plain fine-tuning.
WITHOUT_CLUSTERS = {"cluster_size": 1, "proportion": 0}


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


def varied(study: StudyConfig) -> dict[str, Parameter]:
    """The parameters that have more than one value."""
    return {name: each for name, each in study.parameters.items() if each.size != 1}


def sets_clusters(name: str, parameter: Parameter) -> bool:
    """Whether a parameter sets a cluster field."""
    return any(field in CLUSTER_FIELDS for field in fields_of(name, parameter))


def final_proportion(config: TrainConfig) -> float:
    """p in the last epoch."""
    return config.proportion_by_epoch[-1]


def warm_after(config: TrainConfig) -> int:
    """Epochs finished when the first one on the final p is; 1 where p never changes."""
    schedule = config.proportion_by_epoch
    return 1 + max((epoch for epoch in range(1, len(schedule)) if schedule[epoch] != schedule[epoch - 1]), default=0)


def warms_up(config: TrainConfig) -> bool:
    """Whether p changes over the epochs."""
    return warm_after(config) > 1


def coordinates(study: StudyConfig, record: Record) -> dict[str, Any]:
    """The values of the varied parameters that a trial stands for, without those that had no effect on it.

    A control has no clusters, so that no cluster field has an effect on it; it stands for k = 1 or p = 0 alone, where
    these were searched. The intervals of the warm-up have an effect where there is one.
    """
    found: dict[str, Any] = {}
    for name, parameter in varied(study).items():
        if record.control and sets_clusters(name, parameter):
            values = _without_clusters(name, parameter)
        elif name == "warmup_intervals" and not record.config.proportion_warmup:
            values = []
        else:
            values = _with_settings(name, parameter, record.config.model_dump())
        if values:
            found[name] = values[0]
    return found


def _without_clusters(name: str, parameter: Parameter) -> list[Any]:
    if parameter.kind == "categorical":
        offs = WITHOUT_CLUSTERS.items()
        settings = [(each, settings_of(name, each)) for each in parameter.choices]
        return [each for each, fields in settings if any(fields.get(field) == off for field, off in offs)]
    low, high = parameter.limits
    return [off for field, off in WITHOUT_CLUSTERS.items() if field == name and low <= off <= high]


def _with_settings(name: str, parameter: Parameter, config: dict[str, Any]) -> list[Any]:
    if parameter.kind != "categorical":
        return [config[name]]
    settings = [(each, settings_of(name, each)) for each in parameter.choices]
    return [each for each, fields in settings if fields.items() <= config.items()]
