"""Trial records: one JSON-lines file per trial, the truth that everything else is derived from.

First what the trial is, then a line per epoch, written after the checkpoint that holds the same history, and one when
the trial ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from simclip.config.training import TrainConfig
from simclip.runtime.files import write_atomically
from simclip.study.spec.arms import Stage, Trial
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.portable_paths import local, portable
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.train.history import Row, best_row

Outcome: TypeAlias = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one trial.

    Attributes:
        arm: Name of its arm.
        seed: Its seed.
        control: Whether the arm is a control.
        config: Its training configuration.
        stage: The stage of the study that it belongs to.
        history: A row per epoch, from epoch 0, the base model.
        outcome: How it ended; None while it has not. `stopped`: by the scheduler, before its last epoch.
        seconds: From its start to its end or its last epoch, data and model loading included.
        error: Of a failed trial, the last line of the traceback; the whole of it is in its log.
        started: When, in seconds since 1970 (UTC).
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
        """The record of a trial; see the attributes."""
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
        """Write the file anew, whole or not at all."""
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
    """The trials that have ended, by name."""
    return {name: record for name, record in read_all(folder).items() if record.outcome}


def read_all(folder: Path) -> dict[str, Record]:
    """The trials that have at least begun, by name."""
    read = (_read(path) for path in sorted(folder.glob("*.jsonl")))
    return {record.trial: record for record in read if record}


def _read(path: Path) -> Record | None:
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break  # torn: the trial goes on from the line before
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
    study = path.parents[1] / "study.yaml"
    return "search" if study.is_file() and "arm" in read_mapping(study) else "confirm"
