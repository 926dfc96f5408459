"""Arms and trials: the training runs that a study compares. A control is always among them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.study.spec.arm_names import arm_name
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.train.config import CLUSTER_FIELDS, TrainConfig, control_of

#: The stage of a study that a trial belongs to.
Stage: TypeAlias = Literal["search", "confirm"]


@dataclass(frozen=True)
class Arm:
    """One configuration of a study. The seed in its config has no meaning: a trial sets it."""

    name: str
    config: TrainConfig
    is_control: bool


@dataclass(frozen=True)
class Trial:
    """One arm on one seed, in one stage of a study. The trials of a single run belong to the search."""

    arm: Arm
    seed: int
    stage: Stage = "search"

    @property
    def name(self) -> str:
        """The arm's name and the seed, e.g. k16-p0.5-s1."""
        return f"{self.arm.name}-s{self.seed}"

    @property
    def config(self) -> TrainConfig:
        """The arm's configuration on this seed."""
        return self.arm.config.model_copy(update={"seed": self.seed})


def tune_config(trial: Trial, checkpoint: str | None = None) -> dict[str, Any]:
    """A trial as plain JSON, in which form Ray Tune passes it to the process that trains.

    Args:
        trial: The trial.
        checkpoint: Key of the checkpoint to resume from; None to start from the beginning.
    """
    return {
        "checkpoint": checkpoint,
        "trial": trial.name,
        "train": trial.config.model_dump(mode="json"),
        "stage": trial.stage,
        "arm": trial.arm.name,
        "control": trial.arm.is_control,
    }


def unseeded(config: TrainConfig) -> TrainConfig:
    """The configuration with the default seed, as arms have it."""
    return config.model_copy(update={"seed": TrainConfig.model_fields["seed"].default})


def on_this_machine(study: StudyConfig, config: TrainConfig) -> TrainConfig:
    """The configuration with the machine fields that the study has now, apart from those that it searches.

    They may have changed since a trial ran, and do not make it another arm.
    """
    fields = {*TrainConfig.fields_with("machine")} - {*varied_fields(study)}
    return config.model_copy(update={name: getattr(study.train, name) for name in fields})


def unique_name(name: str, others: Iterable[str]) -> str:
    """The name, or the first of <name>-v2, <name>-v3, ... that is free. Names that differ only in case are not free.

    Files are named after trials, and some file systems ignore case.
    """
    taken = {each.casefold() for each in others}
    names = itertools.chain([name], (f"{name}-v{count}" for count in itertools.count(2)))
    return next(each for each in names if each.casefold() not in taken)


def needs_numbers(study: StudyConfig) -> bool:
    """Whether the names of sampled arms would be unreadable: of continuous values, or of more than three fields."""
    return len(varied_fields(study)) > 3 or any(each.size is None for each in study.parameters.values())


class Arms:
    """The distinct arms found so far. Settings that amount to the same training run are one arm.

    Args:
        study: The study.
        numbered: Whether to name arms arm-01 and controls control-01, instead of by their settings.
    """

    def __init__(self, study: StudyConfig, numbered: bool = False):
        self._numbered = numbered
        self._shared = study.train.model_dump(exclude_unset=True)
        self._named = varied_fields(study)
        self._arms: dict[str, Arm] = {}
        self._highest: Counter[str] = Counter()  # number of an arm's name, by kind

    def add(self, settings: dict[str, Any]) -> tuple[Arm, Arm]:
        """Add an arm and its control, unless they are known.

        Args:
            settings: The training fields that the arm sets.

        Returns:
            The control and the arm, which are the same if the settings amount to plain fine-tuning.

        Raises:
            InputError: The settings make no valid training run; names the arm.
        """
        config = self._config(settings)
        control = self.add_control(settings)
        return control, control if config.is_control else self._keep(self._name(settings), config, is_control=False)

    def add_arm(self, settings: dict[str, Any]) -> Arm | None:
        """Add an arm without a control, unless it is known.

        Returns:
            The arm; if the settings amount to plain fine-tuning, their control, or None if that is not known.

        Raises:
            InputError: The settings make no valid training run; names the arm.
        """
        config = self._config(settings)
        if config.is_control:
            return self._arms.get(control_of(config).run_key)
        return self._keep(self._numbered_name("arm") if self._numbered else self._name(settings), config, False)

    def add_control(self, settings: dict[str, Any]) -> Arm:
        """Add the control of some settings, unless it is known.

        Args:
            settings: The training fields that it sets; those of clusters have no effect.

        Raises:
            InputError: The settings make no valid training run.
        """
        config = control_of(self._config({**settings, "proportion": 0.0, "proportions": None}))
        ordinary = {field: settings[field] for field in self._named if field not in CLUSTER_FIELDS}
        name = "-".join(["control", *filter(None, [arm_name(ordinary)])])
        if self._numbered and ordinary:
            name = self._numbered_name("control")
        return self._keep(name, config, is_control=True)

    def take(self, name: str, config: TrainConfig, is_control: bool) -> Arm:
        """Add an arm of an earlier run under its name there, unless it is known; returns the known one."""
        return self._keep_as(config.run_key, Arm(name, unseeded(config), is_control))

    def __iter__(self) -> Iterator[Arm]:
        """All arms in the order in which they were added; a control comes right before the first arm that shares it."""
        return iter(self._arms.values())

    def __len__(self) -> int:
        return len(self._arms)

    def _config(self, settings: dict[str, Any]) -> TrainConfig:
        try:
            return TrainConfig(**{**self._shared, **settings})
        except ValidationError as error:
            named = self._name(settings)
            raise explain(error, f"arm {named}" if named else "train", TrainConfig) from None

    def _name(self, settings: dict[str, Any]) -> str:
        fields = {**self._shared, **settings}
        named = [field for field in self._named or ("cluster_size", "proportion") if field in fields]
        return arm_name({field: fields[field] for field in named})

    def _numbered_name(self, kind: str) -> str:
        """The kind and the number after the highest, e.g. arm-07; a number is never used again."""
        return f"{kind}-{1 + self._highest[kind]:02}"

    def _keep(self, name: str, config: TrainConfig, is_control: bool) -> Arm:
        if known := self._arms.get(key := config.run_key):
            return known
        name = unique_name(name or "arm", (each.name for each in self._arms.values()))
        return self._keep_as(key, Arm(name, config, is_control))

    def _keep_as(self, key: str, arm: Arm) -> Arm:
        """Keep an arm under its key, unless that is known; returns the known one."""
        if key not in self._arms and (numbered := re.fullmatch(r"(.+)-(\d+)", arm.name)):
            kind, number = numbered.groups()
            self._highest[kind] = max(self._highest[kind], int(number))
        return self._arms.setdefault(key, arm)


def varied_fields(study: StudyConfig) -> list[str]:
    """The training fields that differ between arms, in the study file's order."""
    varied = []
    for name, parameter in study.parameters.items():
        if parameter.size is None or parameter.steps is not None:
            varied += [name]
        else:
            settings = [settings_of(name, value) for value in parameter.choices]
            varied += [
                field for field in fields_of(name, parameter) if any(s[field] != settings[0][field] for s in settings)
            ]
    return varied
