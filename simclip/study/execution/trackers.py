"""Trackers, run by the driver: TensorBoard files and Weights & Biases runs per trial, and Prometheus gauges."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import wandb
from ray.util.metrics import Gauge
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from simclip.study.execution.events import Listener
from simclip.study.execution.preflight import WANDB_OFF
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.history import Row

#: Timeout in seconds for W&B to open a run, and to upload the rest at the end.
WANDB_SECONDS = 60
#: TensorBoard's name for a trial's score.
SCORE = "hparams/score"


def scalars(row: Row) -> dict[str, float]:
    """The figures of an epoch to plot; names group by their first part."""
    return {name if "/" in name else f"run/{name}": value for name, value in row.items() if name != "epoch"}


def settings(trial: Trial) -> dict[str, bool | float | str]:
    """The trial's arm, seed and training fields, as TensorBoard takes them."""
    fields = {"arm": trial.arm.name, **trial.config.model_dump(mode="json"), "seed": trial.seed}
    return {name: value if isinstance(value, bool | int | float) else str(value) for name, value in fields.items()}


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
        """Write the trial's settings and score, for the tab HPARAMS, and close its file."""
        if writer := self._writers.pop(trial.name, None):
            if record.score is not None:
                # `add_hparams` would write them to a folder of their own
                for each in hparams(settings(trial), {SCORE: record.score}):
                    writer._get_file_writer().add_summary(each)
                writer.add_scalar(SCORE, record.score)
            writer.close()


class WeightsAndBiases(Listener):
    """A W&B run per trial, grouped by study. Training never waits for W&B: if it does not answer, runs stay offline.

    Args:
        study: Name of the study.
        folder: W&B's files go to the folder wandb/ in it.
        notify: Called with one line for every W&B problem.
    """

    def __init__(self, study: str, folder: Path, notify: Callable[[str], None]) -> None:
        self.study, self.folder, self.notify = study, folder, notify
        self._runs: dict[str, wandb.Run] = {}
        self._finishing: list[threading.Thread] = []
        self._offline = False

    def trial_started(self, trial: Trial) -> None:
        """Open the trial's run, unless it is open already because the trial's process was lost."""
        if trial.name in self._runs:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._runs[trial.name] = self._open(trial)
        except wandb.Error as error:
            self._offline = True
            reason = str(error).splitlines()[0]
            self.notify(f"Weights & Biases does not answer ({reason}): runs are kept offline. {self._upload}")
            self._runs[trial.name] = self._open(trial)

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Log the epoch's figures."""
        self._runs[trial.name].log(scalars(row), step=row["epoch"])

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Close the trial's run, and mark it if the trial failed."""
        if run := self._runs.pop(trial.name, None):
            if record.score is not None:
                run.summary.update({"score": record.score, "outcome": record.outcome})
            self._finish(run, int(record.outcome == "failed"))

    def study_ended(self) -> None:
        """Close the runs of interrupted trials, and wait for uploads up to the timeout."""
        for run in self._runs.values():
            self._finish(run, 1)
        self._runs.clear()
        deadline = time.monotonic() + WANDB_SECONDS
        for thread in self._finishing:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._finishing):
            self.notify(f"Weights & Biases has not uploaded everything. {self._upload}")

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
                init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", WANDB_SECONDS)),
            ),
        )

    def _finish(self, run: wandb.Run, exit_code: int) -> None:
        """Close a run in the background, since closing waits for its upload."""
        thread = threading.Thread(target=run.finish, kwargs={"exit_code": exit_code}, daemon=True)
        thread.start()
        self._finishing.append(thread)


class Prometheus(Listener):
    """Prometheus gauges per study and per running trial, on the metrics endpoint of the driver's Ray node.

    Ray has to be connected. It adds its own prefix: ray_simclip_epoch{study="demo", trial="k4-p0.5-fixed-s1"}.

    Args:
        study: The study.
        ended: Records of the trials that ended in earlier runs.
    """

    def __init__(self, study: StudyConfig, ended: Mapping[str, Record]) -> None:
        self._of = {"study": study.name}
        self._best_of = max if study.mode == "max" else min
        self._outcomes: dict[str, str | None] = {name: record.outcome for name, record in ended.items()}
        self._scores = {name: record.score for name, record in ended.items() if record.score is not None}
        per_study, per_trial = ("study",), ("study", "trial")
        self._speed = Gauge("simclip_pairs_per_second", "Training pairs per second, of the last epoch", per_trial)
        self._waits = Gauge("simclip_data_wait_share", "Share of the last epoch spent waiting for data", per_trial)
        self._epoch = Gauge("simclip_epoch", "Trained epochs", per_trial)
        self._best = Gauge("simclip_best_so_far", "Best objective of any trial after any epoch", per_study)
        self._ended = {
            outcome: Gauge(f"simclip_trials_{outcome}", f"Trials that {ended}", per_study)
            for outcome, ended in (("finished", "finished"), ("stopped", "were stopped early"), ("failed", "failed"))
        }
        self._set_study_gauges()

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Set the gauges of the trial, and the best score so far."""
        if row["epoch"] == 0:
            return  # the base model
        self._set_trial_gauges(trial, row["pairs_per_second"], row["share/data"], row["epoch"])
        self._scores[trial.name] = self._best_of(row["metric"], self._scores.get(trial.name, row["metric"]))
        self._set_study_gauges()

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Zero the speed gauges of a finished trial; failed trials are excluded from the best score."""
        self._outcomes[trial.name] = record.outcome
        self._scores.pop(trial.name, None)
        if record.score is not None and record.outcome != "failed":
            self._scores[trial.name] = record.score
        self._set_trial_gauges(trial, 0, 0, record.history[-1]["epoch"] if record.history else 0)
        self._set_study_gauges()

    def _set_trial_gauges(self, trial: Trial, pairs_per_second: float, data_wait: float, epoch: int) -> None:
        tags = {**self._of, "trial": trial.name}
        self._speed.set(pairs_per_second, tags)
        self._waits.set(data_wait, tags)
        self._epoch.set(epoch, tags)

    def _set_study_gauges(self) -> None:
        if self._scores:
            self._best.set(self._best_of(self._scores.values()), self._of)
        for outcome, gauge in self._ended.items():
            gauge.set(list(self._outcomes.values()).count(outcome), self._of)


def wandb_status(environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether to track with W&B, and a line that says why or why not; nothing is sent.

    It is on if there is a key (`wandb login` or WANDB_API_KEY) or WANDB_MODE is set to online, offline or shared; the
    preflight refuses other modes.
    """
    mode = environment.get("WANDB_MODE", "")
    if mode in WANDB_OFF:
        return False, f"Weights & Biases is off (WANDB_MODE={mode})"
    if mode:
        return True, f"Weights & Biases is on (WANDB_MODE={mode})"
    if wandb.login(prompt=False, verify=False):
        return True, "Weights & Biases is on"
    return False, "Weights & Biases is off: log in with `wandb login`, or set WANDB_MODE=offline, to turn it on"
