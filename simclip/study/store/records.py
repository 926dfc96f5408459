"""Trial records: one JSON-lines file per trial, the truth that everything else is derived from.

First what the trial is, then a line per epoch, written after the checkpoint that holds the same history, and one when
the trial ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simclip.config.training import TrainConfig
from simclip.runtime.files import write_atomically
from simclip.study.spec.portable_paths import local, portable
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.train.history import Row, best_row

Outcome = Literal["finished", "stopped", "failed"]
Stage = Literal["search", "confirm"]


@dataclass(frozen=True)
class Record:
    """What is known of one trial.

    Attributes:
        arm: Name of its arm.
        seed: Its seed.
        control: Whether the arm is a control.
        config: Its training configuration.
        history: A row per epoch, from epoch 0, the untouched model.
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
    outcome: Outcome | None = None
    seconds: float = 0.0
    error: str | None = None
    started: float = 0.0

    @property
    def trial(self) -> str:
        """The trial's name."""
        return f"{self.arm}-s{self.seed}"

    @property
    def stage(self) -> Stage:
        """Which stage of a study it belongs to."""
        return "search" if self.seed < FIRST_CONFIRM_SEED else "confirm"

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
        head = {"arm": self.arm, "seed": self.seed, "control": self.control, "started": self.started,
                "config": portable(self.config.model_dump(mode="json"))}  # fmt: skip
        end = {"outcome": self.outcome, "score": self.score, "best_epoch": self.best["epoch"] if self.best else None,
               "seconds": self.seconds, "error": self.error}  # fmt: skip
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
        head["arm"], head["seed"], head["control"], TrainConfig(**local(head["config"])), history, end.get("outcome"),
        end.get("seconds", sum(row["seconds"] for row in history)), end.get("error"), head["started"],
    )  # fmt: skip
