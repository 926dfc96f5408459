"""The log of the confirm stage: its plan, written before its first trial, and every look that was taken.

Lines are added and never changed, so a verdict can tell what was planned and how often somebody has looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclip.errors import InputError
from simclip.runtime.files import write_atomically
from simclip.study.spec.study import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.store.records import Record, checked_line, whole_lines


@dataclass(frozen=True)
class LookLog:
    """The content of the log.

    Attributes:
        plan: The seeds of each look, the margin in the metric's unit, and the metric; None before the stage has begun.
        looks: The looks that were taken, in order.
    """

    plan: Mapping[str, Any] | None = None
    looks: tuple[Mapping[str, Any], ...] = ()


def read_looks(path: Path) -> LookLog:
    """Read a log; empty if there is none.

    Raises:
        InputError: A line is damaged.
    """
    if not path.exists():
        return LookLog()
    lines = whole_lines(path)
    if len(lines) < len(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        raise InputError(
            f"{path}: line {len(lines) + 1} is damaged, so it is unknown how often the confirm stage was looked at: "
            "restore the file from a copy, or run the study anew with --fresh"
        )
    plans = [line["plan"] for line in lines if "plan" in line]
    return LookLog(plans[0] if plans else None, tuple(line["look"] for line in lines if "look" in line))


def write_plan(path: Path, study: StudyConfig) -> None:
    """Write the plan of a confirm stage, unless there is one."""
    if study.confirm and read_looks(path).plan is None:
        plan = {"seeds": study.confirm.looks, "margin": study.margin, "metric": study.confirmed_metric}
        _add(path, {"plan": plan})


def add_look(path: Path, look: Mapping[str, Any]) -> None:
    """Add a look that was taken."""
    _add(path, {"look": look})


def refused_looks(study: StudyConfig, log: LookLog, records: Mapping[str, Record]) -> str | None:
    """Why a study's looks do not fit what has been run, in one line that begins with the field; None if they do.

    Args:
        study: The study as it is now.
        log: The looks that were taken.
        records: The records of all trials that have begun.
    """
    if study.confirm is None:
        return None
    seeds = [each.seed for each in records.values() if each.stage == "confirm"]
    taken = [look["seeds"] for look in log.looks]
    reached = max([*taken, *(seed + 1 - FIRST_CONFIRM_SEED for seed in seeds)], default=0)
    known = {*taken, *(log.plan["seeds"] if log.plan else ())}
    late = [each for each in study.confirm.looks if each < reached and each not in known]
    if study.confirm.most_seeds < reached:
        late = [study.confirm.most_seeds]
    if not late:
        return None
    return (
        f"confirm.seeds: trials have already run on {reached} seeds, too many for a look at {late[0]}; keep the looks "
        f"as they were, or add some above {reached}"
    )


def _add(path: Path, line: Mapping[str, Any]) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_atomically(path, before + checked_line(line))
