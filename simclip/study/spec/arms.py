"""Arms and trials: the training runs that a study compares, the control always among them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.errors import InputError
from simclip.runtime.randomness import generator
from simclip.study.spec.arm_names import arm_name
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.train.config import CLUSTER_FIELDS, TrainConfig, control_of

#: The stage of a study that a trial belongs to.
Stage: TypeAlias = Literal["search", "confirm"]

#: A search ends early when so many draws in a row brought nothing that is not run already.
PATIENCE = 100
#: More combinations than this are refused in a grid, and not all looked at before an Optuna search.
MOST_COMBINATIONS = 10_000


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


def planned_arms(study: StudyConfig) -> list[Arm]:
    """The arms of a grid or random search, controls first; none for Optuna, which decides as it goes.

    A control stands for each setting of the ordinary fields that the search visits.

    Raises:
        InputError: Settings that make no training run, naming the arm.
    """
    arms = Arms(study)
    if study.searcher == "grid":
        for settings in _grid(study):
            arms.add(settings)
    elif study.searcher == "random":
        _draw(study, arms)
    return list(arms)


def planned_trials(study: StudyConfig) -> list[Trial]:
    """Each planned arm on every seed, arm after arm: an arm's mean is final before its models are dropped."""
    return [Trial(arm, seed) for arm in planned_arms(study) for seed in study.seeds]


def corner_arms(study: StudyConfig) -> list[Arm]:
    """The arms at the extremes of the space, controls first; all of its arms where it is finite and not too large."""
    arms = Arms(study)
    finite = combinations(study) <= MOST_COMBINATIONS
    ends = [each.choices if finite else each.ends for each in study.parameters.values()]
    corners: Iterable[Sequence[Any]] = itertools.product(*ends)
    if math.prod(map(len, ends)) > MOST_COMBINATIONS:
        draw = generator(study.seeds[0], "corners")
        corners = ([each[draw.integers(len(each))] for each in ends] for _ in range(MOST_COMBINATIONS))
    for values in corners:
        arms.add(merged(study, values))
    return list(arms)


def foreseen_arms(study: StudyConfig) -> list[Arm]:
    """What can be said of a search's arms before it begins: those planned, or for Optuna those at the corners."""
    return corner_arms(study) if study.searcher == "optuna" else planned_arms(study)


def combinations(study: StudyConfig) -> float:
    """How many combinations of values there are; infinite where a range is continuous."""
    return math.prod(math.inf if each.size is None else each.size for each in study.parameters.values())


def check_arms(study: StudyConfig) -> None:
    """Refuse a study in which an arm can come up that makes no training run.

    Raises:
        InputError: Naming the arm.
    """
    foreseen_arms(study)


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


def _grid(study: StudyConfig) -> Iterator[dict[str, Any]]:
    if combinations(study) > MOST_COMBINATIONS:
        raise InputError(
            f"parameters: a grid of {combinations(study)} combinations: cut it down, or search by random or optuna"
        )
    for values in itertools.product(*(parameter.choices for parameter in study.parameters.values())):
        yield merged(study, values)


def _draw(study: StudyConfig, arms: Arms) -> None:
    """Draw settings until enough different ones were met. A longer search begins with those of a shorter one."""
    found = idle = 0
    for draw in itertools.count():
        if found == study.trials or idle == PATIENCE:
            return
        values = [
            parameter.at(generator(study.seeds[0], f"parameter {name}", draw).random())
            for name, parameter in study.parameters.items()
        ]
        before = len(arms)
        arms.add(merged(study, values))
        found, idle = (found + 1, 0) if len(arms) > before else (found, idle + 1)


def merged(study: StudyConfig, values: Sequence[Any]) -> dict[str, Any]:
    """The training fields that one value of each parameter sets."""
    settings: dict[str, Any] = {}
    for name, value in zip(study.parameters, values, strict=True):
        settings |= settings_of(name, value)
    return settings
