"""What may change in a study that has results: all that adds to them, and nothing that they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from simclip.config.training import TrainConfig
from simclip.study.spec.arms import Trial, own_name, planned_arms
from simclip.study.spec.portable_paths import local
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.study_file import dump
from simclip.study.spec.typed_values import STUDY_FIELDS
from simclip.study.store.records import Record

#: Fields that change neither what trials measure nor which there are, or that only add some.
FREE = ("description", "resources.cpus", "resources.gpus", "max_concurrent", "keep_models", "confirm", "budget")
#: Fields that add trials, as long as those that were run are still among them.
EXTENDING = ("parameters", "seeds", "trials")


def refused_changes(
    earlier: Mapping[str, Any], study: StudyConfig, records: Mapping[str, Record]
) -> dict[str, tuple[Any, Any]]:
    """The fields that differ and must not, with both values, by dotted name.

    Args:
        earlier: The study that the results are of, by dotted name.
        study: The study as it is now.
        records: Of all trials that have begun.
    """
    now = flat(local(yaml.safe_load(dump(study))))
    earlier = {**_defaults(), **earlier}
    names = [name for name in {**earlier, **now} if not _among(name, FREE)]
    changed = {name: (earlier.get(name), now.get(name)) for name in names if earlier.get(name) != now.get(name)}
    extends = all(_among(name, EXTENDING) for name in changed) and _still_planned(changed, study, records)
    return {} if extends else changed


def under_recorded_names(trials: Sequence[Trial], records: Mapping[str, Record]) -> list[Trial]:
    """The trials, each arm under the name that it has in the records; an extended study may name it otherwise."""
    names = {record.config.run_key: record.arm for record in records.values()}
    for arm in {trial.arm.name: trial.arm for trial in trials}.values():
        names.setdefault(arm.config.run_key, own_name(arm.name, names.values()))
    return [replace(trial, arm=replace(trial.arm, name=names[trial.arm.config.run_key])) for trial in trials]


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by dotted name."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def listed(fields: Mapping[str, tuple[Any, Any]], most: int = 3) -> str:
    """The first fields with both values, and how many more there are."""
    said = [f"{name} is {there!r} there and {here!r} here" for name, (there, here) in list(fields.items())[:most]]
    more = len(fields) - len(said)
    return ", ".join(said) + (f" (and {more} more)" if more else "")


def _defaults() -> dict[str, Any]:
    """The training fields by dotted name, for results from before one of them was there."""
    return flat({"train": TrainConfig().model_dump(mode="json", exclude=set(STUDY_FIELDS))})


def _among(name: str, fields: tuple[str, ...]) -> bool:
    return any(name == field or name.startswith(f"{field}.") for field in fields)


def _still_planned(changed: Mapping[str, Any], study: StudyConfig, records: Mapping[str, Record]) -> bool:
    """Whether every trial of the search that was begun is one that the study would run."""
    if study.searcher == "optuna":
        return not any(_among(name, ("parameters",)) for name in changed)
    planned = {arm.config.run_key for arm in planned_arms(study)}
    begun = [record for record in records.values() if record.stage == "search"]
    return all(record.seed in study.seeds and record.config.run_key in planned for record in begun)
