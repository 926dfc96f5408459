"""TensorBoard files and Weights & Biases runs, one per trial, written by the driver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import wandb
from torch.utils.tensorboard import SummaryWriter

from simclip.checkpoint import Row
from simclip.study.arms import Trial
from simclip.study.listeners import Listener
from simclip.study.records import Record


def scalars(row: Row) -> dict[str, float]:
    """What of an epoch can be plotted, under names that group by their first part."""
    return {name if "/" in name else f"run/{name}": value for name, value in row.items() if name != "epoch"}


class TensorBoard(Listener):
    """Event files under tensorboard/<trial>/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Write the epoch's figures."""
        if trial.name not in self._writers:
            self._writers[trial.name] = SummaryWriter(str(self.folder / trial.name))
        for name, value in scalars(row).items():
            self._writers[trial.name].add_scalar(name, value, row["epoch"])
        self._writers[trial.name].flush()

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Close the trial's file."""
        if writer := self._writers.pop(trial.name, None):
            writer.close()


class WeightsAndBiases(Listener):
    """A W&B run per trial, grouped by study."""

    def __init__(self, study: str, folder: Path) -> None:
        self.study, self.folder = study, folder
        self._runs: dict[str, wandb.Run] = {}

    def trial_started(self, trial: Trial) -> None:
        """Open the trial's run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._runs[trial.name] = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "simclip"),
            group=self.study,
            name=trial.name,
            job_type="control" if trial.arm.is_control else "arm",
            config={"arm": trial.arm.name, **trial.config.model_dump(mode="json")},
            dir=str(self.folder),
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Log the epoch's figures."""
        self._runs[trial.name].log(scalars(row), step=row["epoch"])

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Close the trial's run; a failed one is marked so."""
        if run := self._runs.pop(trial.name, None):
            if record.score is not None:
                run.summary.update({"score": record.score, "outcome": record.outcome})
            run.finish(exit_code=int(record.outcome == "failed"))

    def study_ended(self) -> None:
        """Close the runs of trials that were interrupted."""
        for run in self._runs.values():
            run.finish(exit_code=1)


def wandb_status(environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether to track with W&B, and a line that says why or why not; nothing is asked and nobody called.

    It is on when a key is there (`wandb login` or WANDB_API_KEY) or WANDB_MODE is set to online or offline.
    """
    mode = environment.get("WANDB_MODE", "")
    if mode in ("disabled", "dryrun"):
        return False, f"Weights & Biases is off (WANDB_MODE={mode})"
    if mode:
        return True, f"Weights & Biases is on (WANDB_MODE={mode})"
    if wandb.login(prompt=False, verify=False):
        return True, "Weights & Biases is on"
    return False, "Weights & Biases is off: log in with `wandb login`, or set WANDB_MODE=offline, to turn it on"
