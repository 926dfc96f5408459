"""Where a trial lies in the space that was searched."""

from __future__ import annotations

from typing import Any, Protocol

from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

#: The values with which a single field makes a run plain fine-tuning.
WITHOUT_CLUSTERS = {"cluster_size": 1, "proportion": 0}


class RanTrial(Protocol):
    """A trial that ran: a record, for example."""

    @property
    def control(self) -> bool:
        """Whether its arm is a control."""

    @property
    def config(self) -> TrainConfig:
        """Its training configuration."""


def varied(study: StudyConfig) -> dict[str, Parameter]:
    """The parameters that have more than one value."""
    return {name: each for name, each in study.parameters.items() if each.size != 1}


def sets_clusters(name: str, parameter: Parameter) -> bool:
    """Whether a parameter sets a cluster field."""
    return any(field in CLUSTER_FIELDS for field in fields_of(name, parameter))


def coordinates(study: StudyConfig, trial: RanTrial) -> dict[str, Any]:
    """The value of each varied parameter that had an effect on a trial.

    A control has no clusters, so no cluster field has an effect on it; it only has the coordinates k = 1, p = 0 or
    hardness 0, if these were searched. The intervals of the warm-up count only with a warm-up.
    """
    found: dict[str, Any] = {}
    for name, parameter in varied(study).items():
        if trial.control and sets_clusters(name, parameter):
            values = _without_clusters(name, parameter)
        elif name == "warmup_intervals" and not trial.config.proportion_warmup:
            values = []
        else:
            values = _with_settings(name, parameter, trial.config.model_dump())
        if values:
            found[name] = values[0]
    return found


def _without_clusters(name: str, parameter: Parameter) -> list[Any]:
    if parameter.kind == "categorical":
        settings = [(each, settings_of(name, each)) for each in parameter.choices]
        return [each for each, fields in settings if _is_plain(fields)]
    low, high = parameter.limits
    return [off for field, off in {**WITHOUT_CLUSTERS, "hardness": 0}.items() if field == name and low <= off <= high]


def _is_plain(fields: dict[str, Any]) -> bool:
    """Whether these fields make a run plain fine-tuning, as far as they decide about it."""
    off = any(fields.get(field) == value for field, value in WITHOUT_CLUSTERS.items())
    return not fields.get("hardness") and (off or {*fields} == {"hardness"})


def _with_settings(name: str, parameter: Parameter, config: dict[str, Any]) -> list[Any]:
    if parameter.kind != "categorical":
        return [config[name]]
    settings = [(each, settings_of(name, each)) for each in parameter.choices]
    return [each for each, fields in settings if fields.items() <= config.items()]
