"""Trial records: one JSON-lines file per trial, from which all results are derived.

The first line describes the trial. Then follows a line per epoch, written after the checkpoint with the same history,
and one line when the trial ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from simclip.runtime.files import write_atomically
from simclip.study.spec.arms import Stage, Trial
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.portable_paths import local, portable
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.study.store import layout
from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row

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
        )

    @property
    def trial(self) -> str:
        """The trial's name."""
        return f"{self.arm}-s{self.seed}"

    @property
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
        write_atomically(folder / f"{self.trial}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def read_records(folder: Path) -> dict[str, Record]:
    """The records of the trials that have ended, by trial name."""
    return {name: record for name, record in read_all(folder).items() if record.outcome}


def read_all(folder: Path) -> dict[str, Record]:
    """The records of all trials that have begun, by trial name."""
    read = (_read(path) for path in sorted(folder.glob("*.jsonl")))
    return {record.trial: record for record in read if record}


def _read(path: Path) -> Record | None:
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break  # a partly written line: the trial resumes from the line before
    if not lines or "config" not in lines[0]:
        return None
    head, *history = lines
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
    )


def _stage_by_seed(path: Path, seed: int) -> Stage:
    """The stage of a record from before stages were recorded: seeds from 1000 on confirm, except in a single run."""
    if seed < FIRST_CONFIRM_SEED:
        return "search"
    study = path.parents[1] / layout.STUDY
    return "search" if study.is_file() and "arm" in read_mapping(study) else "confirm"
