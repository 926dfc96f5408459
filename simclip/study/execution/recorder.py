"""From Ray Tune's events to trial records, kept and dropped models, and events for listeners."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from simclip.errors import LostError, full_disk_error
from simclip.runtime.files import drop_parts
from simclip.study.execution.cluster import is_lost
from simclip.study.execution.events import Listener
from simclip.study.execution.failures import is_lost_process, is_out_of_memory, is_preempted, is_wrong_input
from simclip.study.execution.model_retention import drop_trailing_models, keep_models
from simclip.study.search.searcher import StageSearcher
from simclip.study.spec.arms import Trial, trial_of
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Outcome, Record, read_all
from simclip.train.history import Row

#: Between two looks at whether Ray is still there.
LOOK_SECONDS = 5.0
#: So often a trial whose process was lost goes on before it counts as failed.
MOST_LOSSES = 3


class Halt(tune.Stopper):
    """Ends a study for what every other trial would meet too: wrong input, since they read the same files; a full disk.

    Attributes:
        error: What it was.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

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
        unfinished: Those that had begun in earlier runs and not ended.
        halt: Stops the study; the trial that did it leaves no end, and goes on once the cause is mended.
        searcher: Of the present stage; takes a trial back whose process was lost.
    """

    def __init__(
        self, study: StudyConfig, folder: StudyFolder, listeners: Sequence[Listener], retry_failed: bool = False
    ) -> None:
        self.study, self.folder, self.listeners = study, folder, listeners
        begun = read_all(folder.trials)
        again = {name for name, each in begun.items() if retry_failed and each.outcome == "failed"}
        self.records = {name: each for name, each in begun.items() if each.outcome and name not in again}
        self.unfinished = {name: each for name, each in begun.items() if not each.outcome}
        self.halt = Halt()
        self.searcher: StageSearcher | None = None
        self._started: dict[str, tuple[float, float]] = {}  # on the calendar, and by the clock
        self._histories: dict[str, list[Row]] = {}
        self._losses: Counter[str] = Counter()
        self._looked = time.monotonic()

    def tidy(self) -> None:
        """Delete what an earlier run was killed too soon to delete."""
        drop_parts(self.folder.path)
        drop_trailing_models(self.folder.storage, self.study, self.records)
        for trial in self.folder.storage.folders(self.folder.unfinished.name):
            if trial in self.records:
                self.folder.forget(trial)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its callbacks, and nobody reads them back; listeners hold threads and open files."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """End a study whose Ray has gone: Tune would wait for ever for room to start the lost trials again."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if is_lost():
            raise LostError("Ray's node here was lost")

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Remember when, and tell the listeners. What a trial took before it was lost counts as if just before."""
        this = trial_of(trial.config)
        if this.name not in self._started:
            before = self.unfinished[this.name].seconds if this.name in self.unfinished else 0.0
            self._started[this.name] = time.time() - before, time.monotonic() - before
        for listener in self.listeners:
            listener.trial_started(this)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write the record of an epoch: its checkpoint, if any, is in its place by now."""
        this = trial_of(trial.config)
        history = self._histories[this.name] = result["history"]
        self.folder.write(self._record(this, None))
        for listener in self.listeners:
            listener.epoch_ended(this, history[-1])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that finished or that the scheduler stopped."""
        if self.halt.error:
            return  # the whole study was stopped, which says nothing about this trial
        this = trial_of(trial.config)
        epochs = self._histories[this.name][-1]["epoch"]
        if trial.checkpoint:
            storage = self.folder.storage
            keep_models(storage, storage.key(trial.checkpoint.path), this.name)
        self._end(this, self._record(this, "finished" if epochs == this.config.epochs else "stopped"))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Write the end of a trial that raised, its traceback into its log; give back one whose process was lost."""
        this, error = trial_of(trial.config), _error_of(trial)
        if error and (halting := is_wrong_input(error) or full_disk_error(error)):
            self.halt.error = self.halt.error or halting
            return
        said = self._log(this, trial)
        if error and is_lost_process(error):
            self._losses[this.name] += not is_preempted(error)
            if self._losses[this.name] <= MOST_LOSSES and self.searcher:
                self.searcher.again(this, self.folder.rescue(this.name))
                return
            said = f"its process was lost {self._losses[this.name]} times: {said}"
        elif error and is_out_of_memory(error):
            rows = this.config.micro_batch_size or this.config.batch_size
            said = f"the machine ran out of memory; try micro_batch_size={max(1, rows // 2)} or fewer trials at a time"
        self._end(this, self._record(this, "failed", said))

    def _log(self, this: Trial, trial: TuneTrial) -> str:
        """Add the traceback to the trial's log; returns its last line."""
        text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else "unknown error"
        self.folder.log(this.name, text)
        return text.strip().splitlines()[-1]

    def _record(self, this: Trial, outcome: Outcome | None, error: str | None = None) -> Record:
        started, clock = self._started[this.name]
        history, seconds = self._histories.get(this.name, []), time.monotonic() - clock
        return Record.of(this, history, outcome=outcome, seconds=seconds, error=error, started=started)

    def _end(self, this: Trial, record: Record) -> None:
        """Once the end is on disk, what the trial needed to go on is not needed any more."""
        self.folder.write(record)
        self.records[this.name] = record
        drop_trailing_models(self.folder.storage, self.study, self.records)
        self.folder.forget(this.name)
        for listener in self.listeners:
            listener.trial_ended(this, record)


def _error_of(trial: TuneTrial) -> BaseException | None:
    """What a trial ended with. Tune's own get_error reads a copy that is not there yet."""
    path = trial.pickled_error_file
    return pickle.loads(Path(path).read_bytes()) if path and Path(path).exists() else None
