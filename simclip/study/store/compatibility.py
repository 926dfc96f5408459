"""Which changes to a study are compatible with its existing results: additions, and fields that measure nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from simclip.study.search.plan import planned_arms, searcher_of
from simclip.study.spec.arms import Arm, Trial, on_this_machine, unique_name
from simclip.study.spec.portable_paths import local
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import STUDY_FIELDS, fields_of
from simclip.study.store.records import Record
from simclip.study.store.study_file import dump
from simclip.train.config import TrainConfig

#: Training fields of the machine: they change what a trial measures in the last bits at most.
MACHINE = tuple(f"train.{name}" for name in TrainConfig.fields_with("machine"))
#: Fields that never change what a trial measures, apart from last bits, and never remove a trial.
FREE = (
    "description",
    "resources.cpus",
    "resources.gpus",
    "max_concurrent",
    "keep_models",
    "confirm",
    "budget",
    *MACHINE,
)
#: Fields that may change if every trial that has begun is still planned.
EXTENDING = ("parameters", "seeds", "trials")


def refused_changes(
    earlier: Mapping[str, Any], study: StudyConfig, records: Mapping[str, Record]
) -> dict[str, tuple[Any, Any]]:
    """The changed fields that are incompatible with the results: the earlier and the new value, by dotted name.

    Args:
        earlier: Fields of the study that the results are of, by dotted name.
        study: The study as it is now.
        records: The records of all trials that have begun.
    """
    now = flat(local(yaml.safe_load(dump(study))))
    earlier = {**_defaults(), **earlier}
    # The shared value of a searched field decides nothing.
    searched = [f"train.{field}" for name, each in study.parameters.items() for field in fields_of(name, each)]
    names = [name for name in {**earlier, **now} if not _among(name, (*FREE, *searched))]
    changed = {name: (earlier.get(name), now.get(name)) for name in names if earlier.get(name) != now.get(name)}
    extends = all(_among(name, EXTENDING) for name in changed) and _still_planned(changed, study, records)
    return {} if extends else changed


def machine_changes(earlier: Mapping[str, Any] | None, study: StudyConfig) -> str | None:
    """A line about the machine fields that have changed since the study began; None if none has.

    Args:
        earlier: Fields of the study that the results are of, by dotted name; None without results.
        study: The study as it is now, with its number of threads filled in.
    """
    if earlier is None:
        return None
    now, before = flat({"train": study.train.model_dump(mode="json")}), {**_defaults(), **earlier}
    changed = [
        f"{name} is now {now[name]!r} ({before[name]!r} before)" for name in MACHINE if now[name] != before[name]
    ]
    note = "trials that have ended are kept, the others differ from what they would have been in the last bits at most"
    return f"{', '.join(changed)}: {note}" if changed else None


def under_recorded_names(study: StudyConfig, trials: Sequence[Trial], records: Mapping[str, Record]) -> list[Trial]:
    """The trials with their arms renamed as in the records, since an extended study may give an arm another name."""
    names = {on_this_machine(study, record.config).run_key: record.arm for record in records.values()}
    renamed: dict[str, Arm] = {}
    for arm in {trial.arm.name: trial.arm for trial in trials}.values():
        if (key := arm.config.run_key) not in names:
            names[key] = unique_name(arm.name, names.values())
        renamed[arm.name] = replace(arm, name=names[key])
    return [replace(trial, arm=renamed[trial.arm.name]) for trial in trials]


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested fields to dotted names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def described(fields: Mapping[str, tuple[Any, Any]], most: int = 3) -> str:
    """The first fields with both values, and the number of further ones, for a message."""
    shown = [f"{name} is {there!r} there and {here!r} here" for name, (there, here) in list(fields.items())[:most]]
    more = len(fields) - len(shown)
    return ", ".join(shown) + (f" (and {more} more)" if more else "")


def _defaults() -> dict[str, Any]:
    """The default training fields by dotted name, for results of a version that lacked some of them."""
    return flat({"train": TrainConfig().model_dump(mode="json", exclude=set(STUDY_FIELDS))})


def _among(name: str, fields: tuple[str, ...]) -> bool:
    return any(name == field or name.startswith(f"{field}.") for field in fields)


def _still_planned(changed: Mapping[str, Any], study: StudyConfig, records: Mapping[str, Record]) -> bool:
    """Whether the study still plans every trial of the search that has begun."""
    if not searcher_of(study).plans_ahead:
        return not any(_among(name, ("parameters",)) for name in changed)
    if not searcher_of(study).exhaustive and {*changed} <= {"trials"}:
        return True  # what was drawn stays drawn
    planned = {arm.config.run_key for arm in planned_arms(study)}
    begun = [record for record in records.values() if record.stage == "search"]
    keys = [on_this_machine(study, record.config).run_key for record in begun]
    return all(record.seed in study.seeds and key in planned for record, key in zip(begun, keys, strict=True))
