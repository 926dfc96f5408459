"""TensorBoard files and Weights & Biases runs, one per trial, written by the driver."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import wandb
from torch.utils.tensorboard import SummaryWriter

from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial
from simclip.study.store.records import Record
from simclip.train.history import Row

#: So long W&B may take to open a run, and in the end to take what is left.
MOST_SECONDS = 60


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
    """A W&B run per trial, grouped by study. Training never waits for W&B: without an answer, runs are kept offline.

    Args:
        study: Name of the study.
        folder: W&B's files go into a folder wandb/ in it.
        say: Told in a line what W&B could not do.
    """

    def __init__(self, study: str, folder: Path, say: Callable[[str], None]) -> None:
        self.study, self.folder, self.say = study, folder, say
        self._runs: dict[str, wandb.Run] = {}
        self._finishing: list[threading.Thread] = []
        self._offline = False

    def trial_started(self, trial: Trial) -> None:
        """Open the trial's run; one that goes on after its process was lost is open already."""
        if trial.name in self._runs:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._runs[trial.name] = self._open(trial)
        except wandb.Error as error:
            self._offline = True
            reason = str(error).splitlines()[0]
            self.say(f"Weights & Biases does not answer ({reason}): its runs are kept offline. {self._upload}")
            self._runs[trial.name] = self._open(trial)

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Log the epoch's figures."""
        self._runs[trial.name].log(scalars(row), step=row["epoch"])

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Close the trial's run; a failed one is marked so."""
        if run := self._runs.pop(trial.name, None):
            if record.score is not None:
                run.summary.update({"score": record.score, "outcome": record.outcome})
            self._finish(run, int(record.outcome == "failed"))

    def study_ended(self) -> None:
        """Close the runs of trials that were interrupted, and wait a while for what is still to be sent."""
        for run in self._runs.values():
            self._finish(run, 1)
        self._runs.clear()
        deadline = time.monotonic() + MOST_SECONDS
        for thread in self._finishing:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._finishing):
            self.say(f"Weights & Biases has not taken everything. {self._upload}")

    @property
    def _upload(self) -> str:
        return f"To upload them: wandb sync --include-online {self.folder}/wandb/*run-*"

    def _open(self, trial: Trial) -> wandb.Run:
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", "simclip"),
            group=self.study,
            name=trial.name,
            job_type="control" if trial.arm.is_control else "arm",
            config={"arm": trial.arm.name, **trial.config.model_dump(mode="json")},
            dir=str(self.folder),
            reinit="create_new",
            mode="offline" if self._offline else None,
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", MOST_SECONDS)),
            ),
        )

    def _finish(self, run: wandb.Run, exit_code: int) -> None:
        """Close a run beside what goes on: it waits until all is sent."""
        thread = threading.Thread(target=run.finish, kwargs={"exit_code": exit_code}, daemon=True)
        thread.start()
        self._finishing.append(thread)


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
