"""A trial as a point of the space that was searched."""

from __future__ import annotations

from typing import Any

from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.study.store.records import Record
from simclip.train.config import CLUSTER_FIELDS

#: The values by which one field alone makes a run plain fine-tuning.
WITHOUT_CLUSTERS = {"cluster_size": 1, "proportion": 0}


def varied(study: StudyConfig) -> dict[str, Parameter]:
    """The parameters that have more than one value."""
    return {name: each for name, each in study.parameters.items() if each.size != 1}


def sets_clusters(name: str, parameter: Parameter) -> bool:
    """Whether a parameter sets a cluster field."""
    return any(field in CLUSTER_FIELDS for field in fields_of(name, parameter))


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
