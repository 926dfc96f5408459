"""StudyConfig: the schema of a study file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from simclip.config.explain import hint
from simclip.config.schema import DEFAULT_METRIC, Objective, Strict, field, metric_weights
from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.evaluation.kinds import AnySet
from simclip.evaluation.objective import direction
from simclip.study.spec.confirm import Confirm
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.typed_values import typed
from simclip.train.config import TrainConfig, with_mode

#: The confirm stage uses the seeds from this one on; those of the search are smaller.
FIRST_CONFIRM_SEED = 1000


class SharedConfig(TrainConfig):
    """The training fields that all arms share. They have to be consistent only together with the settings of an arm."""

    @model_validator(mode="after")
    def _consistent(self) -> SharedConfig:
        return self


class Asha(Strict):
    """Settings of `scheduler: asha`."""

    grace_period: int = Field(2, ge=1, description="epochs before which no trial is stopped; at least the warm-up of p")
    reduction_factor: float = Field(3.0, gt=1, description="one of this many trials at a rung continues")


class Resources(Strict):
    """The resources of one trial."""

    workers: int = Field(1, ge=1, description="processes that share a batch")
    cpus: float | None = Field(None, gt=0, description="per worker; fractions are allowed")
    gpus: float | None = Field(None, ge=0, description="per worker: 1, or a share of a card; 0 trains on the CPU")

    @property
    def refusal(self) -> str | None:
        """What Ray or NCCL would not do, as one line that begins with the field; None if there is nothing.

        Results of earlier versions, which did not refuse it, are read all the same.
        """
        gpus, workers = self.gpus or 0.0, self.workers
        if gpus > 1:
            cards = math.ceil(gpus)
            return (
                f"resources.gpus: {gpus:g} is for one worker, which uses one card: for a trial on {cards} cards set "
                f"resources.workers to {cards * workers} and resources.gpus to 1"
            )
        if 0 < gpus < 1 < workers:
            return (
                f"resources.gpus: {gpus:g} would put several of a trial's {workers} workers on one card, which NCCL "
                "refuses: set resources.gpus to 1, or resources.workers to 1"
            )
        return None


class Budget(Strict):
    """Limits of the whole study, none by default; the search stops in time for the confirm stage."""

    hours: float | None = Field(None, gt=0, description="wall-clock time, earlier runs of the study included")
    gpu_hours: float | None = Field(None, gt=0, description="hours times reserved GPUs, in both stages")
    trials: int | None = Field(None, ge=1, description="trials of both stages, controls included")


class StudyConfig(Strict):
    """One study: the arms to compare, how they are found, and what they run on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="also the name of its results folder")
    description: str = ""
    metric: Objective = Field(DEFAULT_METRIC, description="what is optimised; a mapping is a weighted mean of metrics")
    mode: Literal["max", "min"] = field(None, description="default: as the metric says, min for a loss")

    train: SharedConfig = SharedConfig()
    parameters: dict[str, Parameter] = Field({}, description="the search space, in W&B's sweep syntax")
    seeds: list[Annotated[int, Field(ge=0, lt=FIRST_CONFIRM_SEED)]] = Field([1], min_length=1)

    searcher: str = Field("grid", description="how arms are found: grid, random or optuna")
    trials: int | None = Field(None, ge=1, description="settings that random or optuna try, controls included")
    scheduler: Literal["none", "asha"] = "none"
    asha: Asha = Asha()

    confirm: Confirm | None = Field(
        Confirm(), description="runs the best arms again, on seeds from 1000; null leaves it out"
    )
    test: list[AnySet] = Field([], description="evaluation sets that only the confirm stage reads, and that decide")
    test_metric: Objective | None = Field(
        None, description="a metric of the test sets; default: the metric, on the first test set that has it"
    )

    budget: Budget = Budget()
    resources: Resources = Resources()
    max_concurrent: int | None = Field(
        None, ge=1, description="trials at a time; default: all that the resources allow"
    )
    keep_models: int = Field(3, ge=1, description="number of leading arms whose models are kept")

    @model_validator(mode="before")
    @classmethod
    def _study_fields(cls, content: Any) -> Any:
        """Pass metric and mode on to the training fields."""
        content = with_mode(content)
        train = content.get("train", {}) if isinstance(content, dict) else None
        if isinstance(train, TrainConfig):
            train = train.model_dump(exclude_unset=True)
        if not isinstance(train, dict):
            return content  # refused by the types of the fields
        if "seed" in train:
            raise ValueError("train.seed: every arm runs on the study's seeds; set seeds: [...] instead")
        own = {"metric": content.get("metric", DEFAULT_METRIC), "mode": content["mode"]}
        for name, value in own.items():
            if train.get(name, value) not in (value, None):
                raise ValueError(f"train.{name}: differs from the study's {name} {value!r}; set {name} there alone")
        return {**content, "train": {**train, **own}}

    @field_validator("parameters")
    @classmethod
    def _typed(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        return typed(parameters)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if doubled := {seed for seed in seeds if seeds.count(seed) > 1}:
            raise ValueError(f"{min(doubled)} is used twice")
        return seeds

    @property
    def confirm_seeds(self) -> range:
        """The seeds of the confirm stage; empty without one."""
        return range(FIRST_CONFIRM_SEED, FIRST_CONFIRM_SEED + (self.confirm.most_seeds if self.confirm else 0))

    @property
    def keeps_all_confirmed(self) -> bool:
        """Whether the models of all seeds of the confirm stage are kept."""
        return self.confirm is not None and self.confirm.keep_models == "all"

    @property
    def margin(self) -> float | None:
        """The largest difference of the confirmed metric that does not matter; None if none was stated."""
        return self.confirm.margin_of(self.confirmed_metric) if self.confirm else None

    @property
    def contradiction(self) -> str | None:
        """How `mode` contradicts a metric, as one line that begins with the field; None if it does not.

        Results of earlier versions, which maximised every metric unless told otherwise, are read all the same.
        """
        try:
            better, confirmed = direction(self.metric), direction(self.confirmed_metric)
        except ValueError as error:
            return f"metric: {error}"
        words = {"max": "larger", "min": "smaller"}
        if better and better != self.mode:
            return f"mode: {self.mode} contradicts the metric {self.metric}, which is better when {words[better]}"
        if confirmed and confirmed != self.mode:
            return (
                f"test_metric: {self.confirmed_metric} is better when {words[confirmed]}, but the metric {self.metric} "
                f"when {words[self.mode]}: one direction decides both stages"
            )
        return None

    @property
    def confirmed_metric(self) -> str | dict[str, float]:
        """The metric that the verdict compares: one of the test sets if there are any, else the study's own."""
        if not self.test:
            return self.metric
        if self.test_metric is not None:
            return self.test_metric
        if isinstance(self.metric, str):
            return self._on_test(self.metric)
        return {self._on_test(name): weight for name, weight in self.metric.items()}

    def _on_test(self, metric: str) -> str:
        """The metric of the same kind on the first test set that has it."""
        _, _, measure = metric.rpartition("/")
        source = _reporting(metric, self.train.evaluation_sets)
        for each in self.test:
            if measure in each.metrics or (source and source.kind == each.kind and each.reports(measure)):
                return f"{each.name}/{measure}"
        if source is None:
            known = _metrics(self.train.evaluation_sets)
            raise ValueError(f"metric: no evaluation set reports {metric!r}; {hint(metric, known)}")
        raise ValueError(f"test_metric: missing; no test set has a {measure}, as the metric {metric} asks for")

    @model_validator(mode="after")
    def _testable(self) -> StudyConfig:
        if not self.test:
            if self.test_metric is not None:
                raise ValueError("test_metric: there is no test set; give test: [...]")
            return self
        if self.confirm is None:
            raise ValueError(
                "test: only the confirm stage reads test sets, and confirm: null leaves it out; drop them too (as an "
                "override: test=[]), or keep confirm"
            )
        metric = self.confirmed_metric
        for name in metric_weights(metric):
            if _reporting(name, self.test) is None:
                raise ValueError(f"test_metric: no test set reports {name!r}; {hint(name, _metrics(self.test))}")
        names = [each.name for each in [*self.train.evaluation_sets, *self.test]]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"test: sets need different names; {min(doubled)} is used twice")
        return self

    @model_validator(mode="after")
    def _margin_fits(self) -> StudyConfig:
        if self.confirm and self.confirm.margin is not None:
            self.confirm.margin_of(self.confirmed_metric)
        return self

    @model_validator(mode="after")
    def _comparable(self) -> StudyConfig:
        if len(self.seeds) > 1 and self.scheduler == "asha":
            raise ValueError(f"seeds: ASHA and Optuna search on one seed; give one, not {len(self.seeds)}")
        return self


def _metrics(sets: Sequence[EvaluationSet]) -> list[str]:
    """The metrics of some sets, without those that only their files name."""
    return [name for each in sets for name in each.qualified(each.metrics)]


def _reporting(metric: str, sets: Sequence[EvaluationSet]) -> EvaluationSet | None:
    """The set that reports a metric, or may report it, if there is one."""
    name, _, measure = metric.rpartition("/")
    return next((each for each in sets if each.name == name and each.reports(measure)), None)
