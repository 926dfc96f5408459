"""The progress of a study that runs: the state of every trial, and an estimate of the time left."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from simclip.cli.terminal.pace import Pace
from simclip.study.analysis.confirm import confirm_trial_count
from simclip.study.analysis.ranking import ArmResult, Ranking
from simclip.study.search.plan import searcher_of
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Outcome, Record
from simclip.train.history import Row, best_row

State = Outcome | Literal["waiting", "running", "interrupted"]
ENDED: tuple[Outcome, ...] = ("finished", "stopped", "failed")


@dataclass
class TrialProgress:
    """The progress of one trial.

    Attributes:
        trial: The trial.
        state: What it does now, or how it ended.
        history: The rows of its epochs so far.
        updated: The clock at its start or its last epoch.
        record: Its record, once it has ended.
    """

    trial: Trial
    state: State = "waiting"
    history: list[Row] = field(default_factory=list)
    updated: float = 0.0
    record: Record | None = None

    @property
    def epoch(self) -> int:
        """Number of epochs trained so far."""
        return self.history[-1]["epoch"] if self.history else 0

    @property
    def epochs(self) -> int:
        """Number of epochs that it is to train."""
        return self.trial.arm.config.epochs

    @property
    def latest(self) -> float | None:
        """The objective after the last epoch."""
        return self.history[-1]["metric"] if self.history else None

    @property
    def best(self) -> float | None:
        """The objective at the best trained epoch so far."""
        row = best_row(self.history, self.trial.arm.config.mode)
        return row["metric"] if row else None


class ProgressState:
    """The progress of all trials of a study, including those that ended in earlier runs.

    Args:
        study: The study.
        ended: Records of trials that ended in earlier runs.
        clock: Returns seconds since an arbitrary moment.
    """

    def __init__(
        self, study: StudyConfig, ended: Mapping[str, Record] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.trials: dict[str, TrialProgress] = {}
        self.order = Ranking()  # the arms with an ended trial
        self.concurrency = 1
        searcher = searcher_of(study)
        self._search = 0 if searcher.plans_ahead else searcher.trial_count(study)  # trials, planned one by one
        self._study = study
        self._unplanned = 0  # trials of the confirm stage, before the search has chosen its arms
        self.closed = False
        self._clock = clock
        self._started = clock()
        self._pace = Pace()
        for record in (ended or {}).values():
            arm = Arm(record.arm, record.config, record.control)
            self.end(Trial(arm, record.seed, record.stage), record)

    def plan(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Add the trials of a stage, which will run `concurrency` at a time."""
        self.concurrency, self.closed = concurrency, False
        for trial in trials:
            self._of(trial).state = "waiting"
        confirming = any(each.trial.stage == "confirm" for each in self.trials.values())
        searched = {each.trial.arm.name for each in self.trials.values() if not each.trial.arm.is_control}
        others = max(len(searched), self._search - 1)
        self._unplanned = 0 if confirming else confirm_trial_count(self._study, others)
        self._search = 0 if confirming else self._search

    def start(self, trial: Trial) -> None:
        """Record that a trial has started, or restarted after its process was lost."""
        this = self._of(trial)
        this.state, this.updated, this.record = "running", self._clock(), None

    def record_epoch(self, trial: Trial, row: Row) -> None:
        """Record the end of an epoch. Rows of the same or later epochs, from a process that was lost, are dropped."""
        this = self._of(trial)
        this.history = [each for each in this.history if each["epoch"] < row["epoch"]] + [row]
        this.updated = self._clock()
        self._pace.add_epoch(trial.arm.name, row)

    def end(self, trial: Trial, record: Record) -> None:
        """Record the end of a trial."""
        this = self._of(trial)
        seen = {row["epoch"] for row in this.history}
        for row in record.history:
            if row["epoch"] not in seen:  # of an earlier run
                self._pace.add_epoch(trial.arm.name, row)
        this.state, this.history, this.record = record.outcome or "interrupted", record.history, record
        self.order = self.order.with_trial(record)
        if this.state != "failed":
            self._pace.add_trial(record)

    def close(self) -> None:
        """Mark the trials that still run as interrupted; no more events will come."""
        self.closed = True
        for each in self.in_state("running"):
            each.state = "interrupted"

    def in_state(self, *states: State) -> list[TrialProgress]:
        """The trials in any of the given states, in planned order."""
        return [each for each in self.trials.values() if each.state in states]

    @property
    def ended(self) -> int:
        """Number of trials that have finished, were stopped or have failed."""
        return len(self.in_state(*ENDED))

    @property
    def total(self) -> int:
        """Number of trials that there will be, as far as no budget ends the study before."""
        return len(self.trials) + self._to_come

    @property
    def _to_come(self) -> int:
        """Number of trials whose arms are not known yet."""
        return self.search_to_come + self._unplanned

    @property
    def search_to_come(self) -> int:
        """Number of trials that a search which plans one by one has not named yet."""
        return max(0, self._search - sum(each.trial.stage == "search" for each in self.trials.values()))

    @property
    def share(self) -> float:
        """The fraction of all epochs that is done, from 0 to 1; trials that have ended count as complete."""
        done = [1.0 if each.state in ENDED else each.epoch / each.epochs for each in self.trials.values()]
        return statistics.fmean([*done, *[0.0] * self._to_come]) if done else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since this run began."""
        return self._clock() - self._started

    @property
    def control(self) -> ArmResult | None:
        """The best control so far, which differences refer to."""
        return self.order.control

    def difference(self, this: TrialProgress) -> float | None:
        """The score of a finished trial minus the best control's on the same seed; None for controls."""
        reference = self.control.scores.get(this.trial.seed) if self.control else None
        if this.state != "finished" or this.trial.arm.is_control or reference is None or this.best is None:
            return None
        return this.best - reference

    def left(self, this: TrialProgress) -> float | None:
        """Estimated seconds that a running or waiting trial still takes; None before any epoch has ended."""
        pace = self._pace.of(this.trial.arm.name)
        if pace is None:
            return None
        rest = (this.epochs - this.epoch) * pace + (0.0 if this.history else self._pace.overhead)
        return max(0.0, rest - (self._clock() - this.updated)) if this.state == "running" else rest

    def study_left(self) -> float | None:
        """Estimated seconds until the last trial ends; each waiting trial takes the first slot that becomes free."""
        if self.closed:
            return None
        lefts = [self.left(each) for each in self.in_state("running") + self.in_state("waiting")]
        lefts += [self._trial_seconds()] * self._to_come
        known = [left for left in lefts if left is not None]
        if not lefts or len(known) < len(lefts):
            return None
        slots = known[: self.concurrency]
        heapq.heapify(slots)
        for left in known[self.concurrency :]:
            heapq.heapreplace(slots, slots[0] + left)
        return max(slots)

    def _trial_seconds(self) -> float | None:
        """Estimated seconds that a trial takes whose arm is not known yet."""
        epochs = max((each.epochs for each in self.trials.values()), default=0)
        return None if self._pace.mean is None else epochs * self._pace.mean + self._pace.overhead

    def _of(self, trial: Trial) -> TrialProgress:
        return self.trials.setdefault(trial.name, TrialProgress(trial))
