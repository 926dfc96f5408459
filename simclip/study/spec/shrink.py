"""`--demo`: a study's question asked of the embedded data, in minutes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simclip.errors import InputError
from simclip.study.spec.typed_values import settings_of
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

#: Training fields that are rescaled: the field whose ratio they follow, and the least that they become.
SCALED = {
    "cluster_size": ("batch_size", 2),
    "batch_size": ("batch_size", 2),
    "epochs": ("epochs", 1),
    "warmup_intervals": ("warmup_intervals", 2),
    "learning_rate": ("learning_rate", 0),
    "lr_warmup_steps": ("lr_warmup_steps", 0),
}
#: Training fields about data, model and machine: the demo has its own.
DEMOS_OWN = (
    *("train_tsv", "train_image_dir", "train_tables", "val_tsv", "val_image_dir", "evaluate", "caption_columns"),
    *("bad_images", "model", "preprocessor", "pretrain", "iterations_per_epoch", "val_batch_size", "precision"),
    *("threads", "micro_batch_size", "compile", "image_store", "store_size", "data_workers", "log_every"),
)
#: What is meant where a study says nothing, in the fields that ratios are made of.
DEFAULTS = {
    **{field: TrainConfig.model_fields[field].default for field in ("batch_size", "epochs", "warmup_intervals")},
    "learning_rate": "1e-5",
    "lr_warmup_steps": 200,
}


def shrunk(content: Mapping[str, Any], demo: Mapping[str, Any]) -> dict[str, Any]:
    """A study brought down to the embedded data.

    The demo's training fields, test sets and confirm stage replace the study's, and what the study says of machines is
    left out. Its training fields of clusters stay, and so do seeds, searcher, trials, scheduler and metrics. Searched:

    - The study's largest batch size becomes the demo's, and smaller ones follow in proportion; so do epochs, learning
      rate, the steps of its warm-up, and the intervals of p's. Largest of those searched, else the shared one, else
      the default.
    - Cluster sizes follow the batch size, rounded down, so that k <= floor(pN) stays true, but stay above 1. What is 1
      stays 1: plain fine-tuning, no warm-up.
    - `proportions`, given epoch by epoch, keep their course and their end over the demo's epochs.
    - Fields about data, model and machine are no longer searched. All other fields keep their values.
    - Of values that have become the same the first stays; so of the settings of linked parameters.

    Args:
        content: What a study file holds: a valid study. It is left as it is.
        demo: What studies/demo.yaml holds.

    Returns:
        What the file of a study named <name>-demo would hold.

    Raises:
        InputError: A metric of a set that the demo does not have, or nothing is left to search.
    """
    _check_metrics(content, demo)
    scale = _Scale.between(content, demo["train"])
    small = {key: value for key, value in content.items() if key not in ("resources", "max_concurrent", "test")}
    small["name"] = f"{content['name']}-demo"
    clusters = {field: value for field, value in content.get("train", {}).items() if field in CLUSTER_FIELDS}
    default_size = TrainConfig.model_fields["cluster_size"].default
    small["train"] = {**demo["train"], **scale.settings({"cluster_size": default_size, **clusters})}
    if content.get("parameters"):
        small["parameters"] = _parameters(content["parameters"], scale)
    if "confirm" not in content or content["confirm"] is not None:
        small |= {key: demo[key] for key in ("confirm", "test") if key in demo}
    if "grace_period" in content.get("asha", {}):
        small["asha"] = {**content["asha"], "grace_period": scale.number("epochs", content["asha"]["grace_period"])}
    return small


@dataclass(frozen=True)
class _Scale:
    """How values of training fields become smaller.

    Attributes:
        ratios: Of the demo's value of a field to the study's largest one.
        epochs: The demo's.
    """

    ratios: Mapping[str, Fraction]
    epochs: int

    @classmethod
    def between(cls, content: Mapping[str, Any], demo: Mapping[str, Any]) -> _Scale:
        """The scale from a study to the demo's training fields."""
        largest = {}
        for field, default in DEFAULTS.items():
            shared = content.get("train", {}).get(field)
            searched = [_number(value) for value in _searched(field, content) if value is not None]
            largest[field] = max(searched, default=_number(default if shared is None else shared))
        return cls({field: _number(demo[field]) / each for field, each in largest.items() if each}, demo["epochs"])

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Training fields on the demo, without those that are its own."""
        small = {field: value for field, value in settings.items() if field not in DEMOS_OWN}
        small |= {field: self.number(field, value) for field, value in small.items() if field in SCALED}
        if proportions := small.get("proportions"):
            epochs, before = small.get("epochs", self.epochs), len(proportions)
            small["proportions"] = [proportions[math.ceil((i + 1) * before / epochs) - 1] for i in range(epochs)]
        return small

    def value(self, name: str, value: Any) -> Any:
        """A parameter's value on the demo; a linked one may come out empty."""
        small = self.settings(settings_of(name, value))
        return small[name] if name in TrainConfig.model_fields else small

    def number(self, field: str, value: Any) -> int | float:
        """A value of a field that is rescaled."""
        source, least = SCALED[field]
        number = _number(DEFAULTS[field] if value is None else value)
        small = number * self.ratios.get(source, 1)
        if field == "learning_rate":
            return float(small)
        return 1 if number == 1 else max(least, math.floor(small))


def _check_metrics(content: Mapping[str, Any], demo: Mapping[str, Any]) -> None:
    """Refuse metrics of sets that only the study has."""
    sets = ["val", *(each["name"] for each in demo["train"].get("evaluate", []))]
    tests = [each["name"] for each in demo.get("test", [])]
    for field, known in (("metric", sets), ("test_metric", tests)):
        metric = content.get(field)
        for name in [metric] if isinstance(metric, str) else metric or ():
            if name.rpartition("/")[0] not in known:
                raise InputError(
                    f"{field}: {name!r} is of a set that the embedded data do not have; they have "
                    f"{', '.join(known)}: run the study without --demo, or give it a {field} of theirs"
                )


def _searched(field: str, content: Mapping[str, Any]) -> Iterator[Any]:
    """The values of a field that a study searches; of a range its larger end."""
    for name, parameter in content.get("parameters", {}).items():
        ends = [parameter[key] for key in ("value", "max") if key in parameter]
        for value in [*parameter.get("values", []), *ends]:
            settings = value if isinstance(value, Mapping) else {name: value}
            if field in settings:
                yield settings[field]


def _parameters(parameters: Mapping[str, Any], scale: _Scale) -> dict[str, Any]:
    every = {name: _parameter(name, parameter, scale) for name, parameter in parameters.items()}
    left = {name: parameter for name, parameter in every.items() if parameter}
    if not left:
        raise InputError(
            f"parameters: {', '.join(parameters)} cannot be searched on the embedded data, which bring their own "
            "data and model: run the study without --demo"
        )
    return left


def _parameter(name: str, parameter: Mapping[str, Any], scale: _Scale) -> dict[str, Any]:
    """The parameter on the demo; empty where it says nothing any more."""
    if name in DEMOS_OWN:
        return {}
    if "values" in parameter:
        values = _unique(scale.value(name, value) for value in parameter["values"])
        return {**parameter, "values": values} if values != [{}] else {}
    if "value" in parameter:
        return {**parameter, "value": scale.value(name, parameter["value"])}
    return _range(name, parameter, scale) if name in SCALED else dict(parameter)


def _range(field: str, parameter: Mapping[str, Any], scale: _Scale) -> dict[str, Any]:
    low, high = (scale.number(field, parameter[end]) for end in ("min", "max"))
    if low == high:
        return {"value": low}
    small = {**parameter, "min": low, "max": high}
    if "q" in parameter:
        step = _number(parameter["q"]) * scale.ratios[SCALED[field][0]]
        small["q"] = float(step) if field == "learning_rate" else max(1, math.floor(step))
    return small


def _number(value: Any) -> Fraction:
    """The decimal or fraction that was written: 1e-5 is text to YAML."""
    return Fraction(str(value))


def _unique(values: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept
