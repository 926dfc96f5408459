"""What runs trials, and the recorder that it reports to: records, kept and deleted models, events for listeners."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ray.tune.schedulers import TrialScheduler

from simclip.errors import ArmError, full_disk_error, input_error
from simclip.runtime.files import drop_parts
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.search.plan import searcher_of
from simclip.study.search.under_tune import StageSearcher
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.look_log import add_look, read_looks, write_plan
from simclip.study.store.records import Outcome, Record, read_all
from simclip.study.store.storage import Storage
from simclip.train.history import Row

#: A trial whose process was lost more often than this counts as failed.
MAX_LOSSES = 3


class Recorder:
    """Writes the record of a trial after each epoch and when it ends; runs in the driver.

    An executor calls `trial_started`, `epoch_ended` and one of `trial_finished`, `trial_raised`, `trial_failed` and
    `trial_lost`.

    Attributes:
        records: The trials that have ended, in this run or before, by name.
        unfinished: The trials that earlier runs began and did not finish, by name.
        halted_by: The error that ends the whole study, since every other trial would meet it too: wrong input or a full
            disk. The trial that met it has no end on record, and goes on once the cause is mended.
        searcher: The searcher of the current stage; it runs lost trials again.
        results: The results of the trials that have ended so far.
    """

    def __init__(
        self, study: StudyConfig, folder: StudyFolder, listeners: Sequence[Listener], retry_failed: bool = False
    ) -> None:
        self.study, self.folder, self.listeners = study, folder, listeners
        begun = read_all(folder.trials, retry_failed)
        self.records = {name: each for name, each in begun.items() if each.outcome}
        self.unfinished = {name: each for name, each in begun.items() if not each.outcome}
        self.halted_by: Exception | None = None
        self.searcher: StageSearcher | None = None
        self._started: dict[str, tuple[float, float]] = {}  # wall-clock time and monotonic time, in seconds
        self._histories: dict[str, list[Row]] = {}
        self._devices: dict[str, str] = {}
        self._losses: Counter[str] = Counter()
        self.results = StudyResults(study, self.records, ItemFiles(folder.trials), read_looks(folder.looks))

    @property
    def begun(self) -> StudyResults:
        """The results, including unfinished trials of earlier runs."""
        records = {**self.records, **self.unfinished}
        return StudyResults(self.study, records, self.results.items, self.results.log)

    def tidy(self) -> None:
        """Delete leftovers of an earlier run that was killed."""
        drop_parts(self.folder.path)
        drop_trailing_models(self.folder.storage, self.results)
        # A searcher that decides as it goes may use the name of a trial without a record for another arm.
        named = searcher_of(self.study).plans_ahead
        for trial in self.folder.storage.folders(layout.UNFINISHED):
            if trial in self.records or not (named or trial in self.unfinished):
                self.folder.discard_checkpoints(trial)

    def plan_looks(self) -> None:
        """Put the plan of the confirm stage on record, before its first trial."""
        write_plan(self.folder.looks, self.study)
        self.results = self.results.with_log(read_looks(self.folder.looks))
        self.folder.push()

    def record_looks(self) -> None:
        """Put the looks on record that the ended trials make due."""
        looks = self.results.looks
        for look in looks.taken[len(self.results.log.looks) :] if looks else []:
            add_look(self.folder.looks, asdict(look))
        self.results = self.results.with_log(read_looks(self.folder.looks))

    def trial_started(self, trial: Trial) -> None:
        """Note the start of a trial. The time that an earlier run spent on it counts as if it had just been spent."""
        if trial.name not in self._started:
            before = self.unfinished[trial.name].seconds if trial.name in self.unfinished else 0.0
            self._started[trial.name] = time.time() - before, time.monotonic() - before
        for listener in self.listeners:
            listener.trial_started(trial)

    def epoch_ended(self, trial: Trial, history: list[Row], device: str) -> None:
        """Write the record of an epoch, whose checkpoint, if any, has been stored.

        Args:
            trial: The trial.
            history: A row per epoch so far.
            device: Name of the card that its first worker computes on, or CPU.
        """
        self._histories[trial.name], self._devices[trial.name] = history, device
        self.folder.write(self._record(trial, None))
        for listener in self.listeners:
            listener.epoch_ended(trial, history[-1])

    def trial_finished(self, trial: Trial) -> None:
        """Write the end of a trial that ran all its epochs, or that the scheduler stopped, and keep its model."""
        if self.halted_by:
            return  # the whole study was stopped, which says nothing about this trial
        kept = trial.seed in (self.study.seeds[0], FIRST_CONFIRM_SEED) or (
            trial.stage == "confirm" and self.study.keeps_all_confirmed
        )
        if kept and (best := self.folder.best_model(trial.name)):
            # The checkpoint itself stays until the end of the trial is on record.
            self.folder.storage.copy(best, f"{layout.MODELS}/{trial.name}/best")
        epochs = self._histories[trial.name][-1]["epoch"]
        self._end(trial, self._record(trial, "finished" if epochs == trial.config.epochs else "stopped"))

    def trial_raised(self, trial: Trial, error: BaseException, traceback: str) -> None:
        """Fail a trial that raised an error; wrong input and a full disk end the whole study instead.

        Wrong input concerns every arm, because each arm's own input was checked before the first trial. The exception
        is an `ArmError`.
        """
        wrong = input_error(error)
        if isinstance(wrong, ArmError):
            self.trial_failed(trial, f"{wrong}\n", str(wrong))
        elif halting := wrong or full_disk_error(error):
            self.halted_by = self.halted_by or halting
        else:
            self.trial_failed(trial, traceback)

    def trial_failed(self, trial: Trial, traceback: str, reason: str | None = None) -> None:
        """Write the end of a failed trial, and the traceback into its log.

        Args:
            trial: The trial.
            traceback: The error in full.
            reason: One line for the record; by default the traceback's last line.
        """
        last_line = self._log(trial, traceback)
        self._end(trial, self._record(trial, "failed", reason or last_line))

    def trial_lost(self, trial: Trial, traceback: str, preempted: bool = False) -> None:
        """Run a trial again whose process was lost, from its newest checkpoint, until that has happened too often.

        Args:
            trial: The trial.
            traceback: What is known of the loss.
            preempted: Whether a cloud provider took the node away, which does not count.
        """
        self._losses[trial.name] += not preempted
        if self._losses[trial.name] <= MAX_LOSSES and self.searcher:
            self._log(trial, traceback)
            self.searcher.again(trial, self.folder.salvage_checkpoint(trial.name))
        else:
            reason = f"its process was lost {self._losses[trial.name]} times: {traceback.strip().splitlines()[-1]}"
            self.trial_failed(trial, traceback, reason)

    def _log(self, trial: Trial, traceback: str) -> str:
        """Add the traceback to the trial's log; returns its last line."""
        self.folder.log(trial.name, traceback)
        return traceback.strip().splitlines()[-1]

    def _record(self, trial: Trial, outcome: Outcome | None, error: str | None = None) -> Record:
        started, clock = self._started[trial.name]
        history, seconds = self._histories.get(trial.name, []), time.monotonic() - clock
        device = self._devices.get(trial.name)
        return Record.of(trial, history, outcome=outcome, seconds=seconds, error=error, started=started, device=device)

    def _end(self, trial: Trial, record: Record) -> None:
        """Put the end on record, then delete what was kept to resume the trial."""
        self.folder.write(record)
        self.records[trial.name] = record
        self.results = self.results.with_record(record)
        drop_trailing_models(self.folder.storage, self.results)
        self.folder.discard_checkpoints(trial.name)
        for listener in self.listeners:
            listener.trial_ended(trial, record)


class Executor(Protocol):
    """Runs the trials of one stage after the other, and reports them to the recorder."""

    @property
    def concurrency(self) -> int:
        """Maximum number of trials at a time."""

    @property
    def hardware(self) -> dict[str, Any]:
        """What the trials run on, for results.json."""

    def run_stage(self, searcher: StageSearcher, recorder: Recorder, scheduler: TrialScheduler | None) -> None:
        """Run the trials that a searcher suggests until it has no more, or until the recorder halts the study.

        A trial writes its checkpoints to `layout.TUNE`, one folder per attempt, and its log to `layout.LOGS`.

        Args:
            searcher: Asked for every trial, and told of every result and end, as Ray Tune does it.
            recorder: Told when a trial starts, after each of its epochs, and when it has finished, failed or was lost.
            scheduler: Stops trials early; None lets every trial finish.

        Raises:
            LostError: The machines that the trials run on were lost.
            KeyboardInterrupt: The user interrupted the study.
        """


def drop_trailing_models(storage: Storage, results: StudyResults) -> None:
    """Delete the models that are not to be kept."""
    ended = results.search.keys() | results.confirm.keys()
    for trial in ({*storage.folders(layout.MODELS)} & ended) - kept_models(results):
        storage.delete(f"{layout.MODELS}/{trial}")


def kept_models(results: StudyResults) -> set[str]:
    """Names of the trials whose models are kept: those of the leading and of the confirmed arms, on their first seed.

    With `confirm.keep_models: all`, the confirmed arms keep those of all seeds.

    Once the confirm stage has ended, the search's models of its arms are dropped. An arm whose seeds have not all ended
    keeps its model: its place is not known yet.
    """
    study = results.study
    ended = Counter(record.arm for record in results.search.values())
    settled = [arm for arm in results.order.names if ended[arm] >= len(study.seeds)]
    searched = {*settled[: study.keep_models], *(ended.keys() - settled)}
    finished = [record for record in results.confirm.values() if record.outcome == "finished"]
    confirmed = [each for each in finished if each.seed == FIRST_CONFIRM_SEED or study.keeps_all_confirmed]
    if confirmed and results.looks and results.looks.next is None:
        searched -= {each.arm for each in confirmed}
    return {f"{arm}-s{study.seeds[0]}" for arm in searched} | {each.trial for each in confirmed}
