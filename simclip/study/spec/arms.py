"""Arms and trials: the training runs that a study compares, the control always among them."""

from __future__ import annotations

import itertools
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
    """One configuration; its config's seed means nothing."""

    name: str
    settings: dict[str, Any]  # the searched fields alone (of a control: the ordinary ones), as JSON has them
    config: TrainConfig
    is_control: bool


@dataclass(frozen=True)
class Trial:
    """One arm on one seed, in one stage of a study. The trials of a single run belong to the search, on any seed."""

    arm: Arm
    seed: int
    stage: Stage = "search"

    @property
    def name(self) -> str:
        """The arm's name and the seed: k16-p0.5-s1."""
        return f"{self.arm.name}-s{self.seed}"

    @property
    def config(self) -> TrainConfig:
        """The arm's configuration on this seed."""
        return self.arm.config.model_copy(update={"seed": self.seed})


def tune_config(trial: Trial, checkpoint: str | None = None) -> dict[str, Any]:
    """A trial as Ray Tune carries it: plain JSON.

    Args:
        trial: The trial.
        checkpoint: Folder that it goes on from; None where it begins.
    """
    return {
        "checkpoint": checkpoint,
        "trial": trial.name,
        "train": trial.config.model_dump(mode="json"),
        "arm": trial.arm.name,
        "settings": trial.arm.settings,
        "control": trial.arm.is_control,
        "stage": trial.stage,
    }


def trial_of(config: dict[str, Any]) -> Trial:
    """The trial that a dictionary of tune_config describes."""
    train = TrainConfig(**config["train"])
    arm = Arm(config["arm"], config["settings"], unseeded(train), config["control"])
    return Trial(arm, train.seed, config["stage"])


def unseeded(config: TrainConfig) -> TrainConfig:
    """The configuration as an arm has it."""
    return config.model_copy(update={"seed": TrainConfig.model_fields["seed"].default})


def own_name(name: str, others: Iterable[str]) -> str:
    """The name, or the first of <name>-v2, -v3 ... that none of the others has; upper case is no difference.

    Trials name files, and some file systems do not tell upper from lower case.
    """
    taken = {each.casefold() for each in others}
    names = itertools.chain([name], (f"{name}-v{count}" for count in itertools.count(2)))
    return next(each for each in names if each.casefold() not in taken)


class Arms:
    """The different arms that were met so far. Settings that come to the same training run are one arm."""

    def __init__(self, study: StudyConfig):
        self._shared = study.train.model_dump(exclude_unset=True)
        self._named = varied_fields(study)
        self._arms: dict[str, Arm] = {}

    def add(self, settings: dict[str, Any]) -> tuple[Arm, Arm]:
        """The control and the arm of these settings, which may be the control itself; both are kept.

        Raises:
            InputError: Settings that make no training run, naming the arm.
        """
        fields = {**self._shared, **settings}
        named = self._named or [field for field in ("cluster_size", "proportion") if field in fields]
        name = arm_name({field: fields[field] for field in named}) or "arm"
        try:
            config = TrainConfig(**fields)
        except ValidationError as error:
            raise explain(error, f"arm {name}", TrainConfig) from None
        ordinary = {field: settings[field] for field in self._named if field not in CLUSTER_FIELDS}
        control_name = "-".join(["control", *filter(None, [arm_name(ordinary)])])
        control = self._keep(control_name, [*ordinary], control_of(config), is_control=True)
        return control, control if config.is_control else self._keep(name, [*settings], config, is_control=False)

    def take(self, name: str, config: TrainConfig, is_control: bool) -> Arm:
        """An arm of an earlier run, under the name that it had there."""
        settings = config.model_dump(mode="json", include={*self._named})
        return self._arms.setdefault(config.run_key, Arm(name, settings, unseeded(config), is_control))

    def __iter__(self) -> Iterator[Arm]:
        """Every arm, controls first."""
        return iter(sorted(self._arms.values(), key=lambda arm: not arm.is_control))

    def __len__(self) -> int:
        return len(self._arms)

    def _keep(self, name: str, fields: list[str], config: TrainConfig, is_control: bool) -> Arm:
        run = config.run_key
        if run not in self._arms:
            settings = config.model_dump(mode="json", include=set(fields))
            own = own_name(name, (each.name for each in self._arms.values()))
            self._arms[run] = Arm(own, settings, config, is_control)
        return self._arms[run]


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
