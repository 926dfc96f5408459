"""From Ray Tune's events to trial records, kept and dropped models, and events for listeners."""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from simclip.checkpoint import Row
from simclip.errors import InputError
from simclip.study.arms import Trial, trial_of
from simclip.study.config import StudyConfig
from simclip.study.folder import StudyFolder
from simclip.study.listeners import Listener
from simclip.study.models import drop_trailing_models, keep_models
from simclip.study.records import Outcome, Record, read_records


class WrongInput(tune.Stopper):
    """Ends a study as soon as one trial has found its input wrong: the others read the same files.

    Attributes:
        error: What it found.
    """

    def __init__(self) -> None:
        self.error: InputError | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial by itself."""
        return False

    def stop_all(self) -> bool:
        """All of them."""
        return self.error is not None


class Recorder(tune.Callback):
    """Writes the record of a trial after each epoch and when it ends; runs in the driver.

    Attributes:
        records: The trials that have ended, in this run or before, by name.
        wrong_input: Stops the study; such a trial leaves no record, and runs again once the input is mended.
    """

    def __init__(self, study: StudyConfig, folder: StudyFolder, listeners: Sequence[Listener]) -> None:
        self.study, self.folder, self.listeners = study, folder, listeners
        self.records = read_records(folder.trials)
        self.wrong_input = WrongInput()
        self._started: dict[str, tuple[float, float]] = {}  # on the calendar, and by the clock
        self._histories: dict[str, list[Row]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its callbacks, and nobody reads them back; listeners hold threads and open files."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Remember when, and tell the listeners."""
        this = trial_of(trial.config)
        self._started[this.name] = time.time(), time.monotonic()
        for listener in self.listeners:
            listener.trial_started(this)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the record of an epoch: its checkpoint, if any, is in its place by now."""
        this = trial_of(trial.config)
        history = self._histories[this.name] = result["history"]
        self._record(this, None).write(self.folder.trials)
        for listener in self.listeners:
            listener.epoch_ended(this, history[-1])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that finished or that the scheduler stopped."""
        if self.wrong_input.error:
            return  # the whole study was stopped, which says nothing about this trial
        this = trial_of(trial.config)
        epochs = self._histories[this.name][-1]["epoch"]
        if trial.checkpoint:
            keep_models(Path(trial.checkpoint.path), self.folder.models / this.name)
        self._end(this, self._record(this, "finished" if epochs == this.config.epochs else "stopped"))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that raised, its traceback into its log."""
        this = trial_of(trial.config)
        text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else "unknown error"
        if wrong := _wrong_input(trial):
            self.wrong_input.error = self.wrong_input.error or wrong
            return
        self.folder.logs.mkdir(parents=True, exist_ok=True)
        with (self.folder.logs / f"{this.name}.log").open("a", encoding="utf-8") as log:
            log.write(text)
        self._end(this, self._record(this, "failed", text.strip().splitlines()[-1]))

    def _record(self, this: Trial, outcome: Outcome | None, error: str | None = None) -> Record:
        started, clock = self._started[this.name]
        history, seconds = self._histories.get(this.name, []), time.monotonic() - clock
        return Record(
            this.arm.name, this.seed, this.arm.is_control, this.config, history, outcome, seconds, error, started
        )

    def _end(self, this: Trial, record: Record) -> None:
        record.write(self.folder.trials)
        self.records[this.name] = record
        drop_trailing_models(self.folder.models, self.study, self.records)
        shutil.rmtree(self.folder.tune / this.name, ignore_errors=True)
        for listener in self.listeners:
            listener.trial_ended(this, record)


def _wrong_input(trial: TuneTrial) -> InputError | None:
    """The InputError that a trial ended with, or that its error stems from."""
    # Tune's own get_error reads a copy that is not there yet.
    path = trial.pickled_error_file
    error = pickle.loads(Path(path).read_bytes()) if path and Path(path).exists() else None
    while error is not None and not isinstance(error, InputError):
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return error
