"""Trial records: one JSON-lines file per trial, from which all results are derived.

The first line describes the trial. Then follows a line per epoch, written after the checkpoint with the same history,
and one line when the trial ends.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from simclip.errors import InputError
from simclip.runtime.files import write_atomically
from simclip.study.spec.arms import Stage, Trial
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.portable_paths import local, portable
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.study.store import layout
from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row

#: Key of a line's checksum.
CHECKSUM = "crc32"

Outcome: TypeAlias = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that is recorded about one trial.

    Attributes:
        arm: Name of the trial's arm.
        seed: Seed of the trial.
        control: Whether the arm is a control.
        config: Training configuration.
        history: One row per epoch; epoch 0 is the base model.
        stage: Stage of the study that the trial belongs to.
        outcome: How the trial ended; None if it has not. `stopped`: by the scheduler, before its last epoch.
        seconds: Duration from the start to the end or the last epoch, loading included.
        error: Last line of a failed trial's traceback; the log has all of it.
        started: Start, in seconds since 1970 (UTC).
        device: Name of the card that its last epoch ran on, or CPU; None if it had none, or in an earlier version.
    """

    arm: str
    seed: int
    control: bool
    config: TrainConfig
    history: list[Row]
    stage: Stage = "search"
    outcome: Outcome | None = None
    seconds: float = 0.0
    error: str | None = None
    started: float = 0.0
    device: str | None = None

    @classmethod
    def of(
        cls,
        trial: Trial,
        history: list[Row],
        *,
        outcome: Outcome | None = None,
        seconds: float = 0.0,
        error: str | None = None,
        started: float = 0.0,
        device: str | None = None,
    ) -> Record:
        """The record of a trial; the arguments are described under the attributes."""
        return cls(
            arm=trial.arm.name,
            seed=trial.seed,
            control=trial.arm.is_control,
            config=trial.config,
            history=history,
            stage=trial.stage,
            outcome=outcome,
            seconds=seconds,
            error=error,
            started=started,
            device=device,
        )

    @property
    def trial(self) -> str:
        """The trial's name."""
        return f"{self.arm}-s{self.seed}"

    @cached_property
    def best(self) -> Row | None:
        """The row of the best trained epoch."""
        return best_row(self.history, self.config.mode)

    @property
    def score(self) -> float | None:
        """The objective at the best trained epoch."""
        return self.best["metric"] if self.best else None

    def write(self, folder: Path) -> None:
        """Write the record's file atomically, replacing an earlier one."""
        head = {
            "arm": self.arm,
            "seed": self.seed,
            "control": self.control,
            "stage": self.stage,
            "started": self.started,
            "device": self.device,
            "config": portable(self.config.model_dump(mode="json")),
        }
        end = {
            "outcome": self.outcome,
            "score": self.score,
            "best_epoch": self.best["epoch"] if self.best else None,
            "seconds": self.seconds,
            "error": self.error,
        }
        lines = [head, *self.history, *([end] if self.outcome else [])]
        write_atomically(folder / f"{self.trial}.jsonl", "".join(checked_line(each) for each in lines))


def read_records(folder: Path) -> dict[str, Record]:
    """The records of the trials that have ended, by trial name."""
    return {name: record for name, record in read_all(folder).items() if record.outcome}


def read_all(folder: Path, retry_failed: bool = False) -> dict[str, Record]:
    """The records of all trials that have begun, by trial name.

    Args:
        folder: The folder of the records.
        retry_failed: Leave out the trials that failed, which are to run again.
    """
    read = (_read(path) for path in sorted(folder.glob("*.jsonl")))
    return {each.trial: each for each in read if each and not (retry_failed and each.outcome == "failed")}


def damaged(folder: Path) -> list[Path]:
    """The records that are empty, or have a torn or damaged line; the trial goes on from what is left of them."""
    paths = sorted(folder.glob("*.jsonl"))
    return [path for path in paths if len(whole_lines(path)) < max(1, len(_text(path).splitlines()))]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def checked_line(content: Mapping[str, Any]) -> str:
    """A line of JSON with a checksum of the rest of it."""
    return json.dumps({**content, CHECKSUM: _checksum(content)}) + "\n"


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines before the first torn or damaged one; a line of an earlier version has no checksum."""
    lines: list[dict[str, Any]] = []
    for text in _text(path).splitlines():
        try:
            line = json.loads(text)
            whole = line.pop(CHECKSUM, None) in (None, _checksum(line))
        except (ValueError, AttributeError, TypeError):
            whole = False
        if not whole:
            break
        lines.append(line)
    return lines


def _read(path: Path) -> Record | None:
    lines = whole_lines(path)
    if not lines or "config" not in lines[0]:
        return None
    try:
        return _record(path, *lines)
    except (LookupError, TypeError, ValueError, InputError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a record of this version ({type(error).__name__}: {said}): move it elsewhere, and its trial "
            "runs again"
        ) from None


def _record(path: Path, head: dict[str, Any], *rows: dict[str, Any]) -> Record:
    history = list(rows)
    ended = "outcome" in history[-1] if history else False
    end = history.pop() if ended else {}
    return Record(
        arm=head["arm"],
        seed=head["seed"],
        control=head["control"],
        config=TrainConfig(**local(head["config"])),
        history=history,
        stage=head.get("stage") or _stage_by_seed(path, head["seed"]),
        outcome=end.get("outcome"),
        seconds=end.get("seconds", sum(row["seconds"] for row in history)),
        error=end.get("error"),
        started=head["started"],
        device=head.get("device"),
    )


def _stage_by_seed(path: Path, seed: int) -> Stage:
    """The stage of a record from before stages were recorded: seeds from 1000 on confirm, except in a single run."""
    if seed < FIRST_CONFIRM_SEED:
        return "search"
    study = path.parents[1] / layout.STUDY
    return "search" if study.is_file() and "arm" in read_mapping(study) else "confirm"
