"""Where every trial of a study stands, and how long the rest will take."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from simclip.study.analysis.confirm import confirm_trial_count
from simclip.study.analysis.ranking import ArmResult, rank_arms
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Outcome, Record
from simclip.train.history import Row, best_row

State = Outcome | Literal["waiting", "running", "interrupted"]
ENDED: tuple[Outcome, ...] = ("finished", "stopped", "failed")


@dataclass
class TrialStanding:
    """One trial as it is now.

    Attributes:
        trial: Which.
        state: What it does, or how it ended.
        history: Its rows so far.
        heard: The clock at its start or its last row.
        record: Its record, once it has ended.
    """

    trial: Trial
    state: State = "waiting"
    history: list[Row] = field(default_factory=list)
    heard: float = 0.0
    record: Record | None = None

    @property
    def epoch(self) -> int:
        """Trained epochs so far."""
        return self.history[-1]["epoch"] if self.history else 0

    @property
    def epochs(self) -> int:
        """Epochs in all."""
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


class Standing:
    """All trials of a study, those that ended in earlier runs among them.

    Args:
        study: The study.
        ended: Records of trials that ended in earlier runs.
        clock: Seconds since any moment.
    """

    def __init__(
        self, study: StudyConfig, ended: Mapping[str, Record] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.trials: dict[str, TrialStanding] = {}
        self.arms: list[ArmResult] = []
        self.concurrency = 1
        self._plans_ahead = study.searcher != "optuna"
        self._study = study
        self._to_come = 0  # trials of the confirm stage, before they are known by name
        self._closed = False
        self._clock = clock
        self._begin = clock()
        self._pace: dict[str, float] = {}  # by arm
        self._mean_pace: float | None = None
        self._besides = 0.0  # loading, and scoring the untouched model
        for record in (ended or {}).values():
            arm = Arm(record.arm, {}, record.config, record.control)
            self.end(Trial(arm, record.seed, record.stage), record)

    def plan(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Trials of a stage that are to run, so many at a time."""
        self.concurrency, self._closed = concurrency, False
        for trial in trials:
            self._of(trial).state = "waiting"
        confirming = any(each.trial.seed in self._study.confirm_seeds for each in self.trials.values())
        others = len({each.trial.arm.name for each in self.trials.values() if not each.trial.arm.is_control})
        self._to_come = 0 if confirming else confirm_trial_count(self._study, others)

    def start(self, trial: Trial) -> None:
        """A trial begins, or goes on after its process was lost."""
        this = self._of(trial)
        this.state, this.heard, this.record = "running", self._clock(), None

    def hear(self, trial: Trial, row: Row) -> None:
        """An epoch has ended; what is known of it and of later ones was lost with a process."""
        this = self._of(trial)
        this.history = [each for each in this.history if each["epoch"] < row["epoch"]] + [row]
        this.heard = self._clock()
        self._learn()

    def end(self, trial: Trial, record: Record) -> None:
        """A trial has ended."""
        this = self._of(trial)
        this.state, this.history, this.record = record.outcome or "interrupted", record.history, record
        self.arms = rank_arms({name: each.record for name, each in self.trials.items() if each.record})
        self._learn()

    def close(self) -> None:
        """No more will come: what still runs was cut off."""
        self._closed = True
        for each in self.those("running"):
            each.state = "interrupted"

    def those(self, *states: State) -> list[TrialStanding]:
        """The trials in any of some states, in their order."""
        return [each for each in self.trials.values() if each.state in states]

    @property
    def ended(self) -> int:
        """How many trials have ended, one way or another."""
        return len(self.those(*ENDED))

    @property
    def total(self) -> int | None:
        """How many trials there will be; None where the search decides as it goes."""
        return len(self.trials) + self._to_come if self._plans_ahead else None

    @property
    def share(self) -> float:
        """How much of all trials is done, of 0 to 1; one that has ended counts as a whole."""
        done = [1.0 if each.state in ENDED else each.epoch / each.epochs for each in self.trials.values()]
        return statistics.fmean([*done, *[0.0] * self._to_come]) if done else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since this run began."""
        return self._clock() - self._begin

    @property
    def control(self) -> ArmResult | None:
        """The best control so far, as the ranking compares with it."""
        return next((arm for arm in self.arms if arm.control and arm.scores), None)

    def difference(self, this: TrialStanding) -> float | None:
        """A finished trial's score less the best control's on the same seed; None for controls."""
        reference = self.control.scores.get(this.trial.seed) if self.control else None
        if this.state != "finished" or this.trial.arm.is_control or reference is None or this.best is None:
            return None
        return this.best - reference

    def left(self, this: TrialStanding) -> float | None:
        """Seconds that a waiting or running trial still takes; None while nothing is known."""
        pace = self._pace.get(this.trial.arm.name, self._mean_pace)
        if pace is None:
            return None
        rest = (this.epochs - this.epoch) * pace + (0.0 if this.history else self._besides)
        return max(0.0, rest - (self._clock() - this.heard)) if this.state == "running" else rest

    def study_left(self) -> float | None:
        """Seconds until the last planned trial ends: each waiting one takes the first place that becomes free."""
        if not self._plans_ahead or self._closed:
            return None
        lefts = [self.left(each) for each in self.those("running") + self.those("waiting")]
        lefts += [self._typical()] * self._to_come
        known = [left for left in lefts if left is not None]
        if not lefts or len(known) < len(lefts):
            return None
        places = known[: self.concurrency]
        heapq.heapify(places)
        for left in known[self.concurrency :]:
            heapq.heapreplace(places, places[0] + left)
        return max(places)

    def _typical(self) -> float | None:
        """Seconds that a trial takes which is not known by name."""
        epochs = max((each.epochs for each in self.trials.values()), default=0)
        return None if self._mean_pace is None else epochs * self._mean_pace + self._besides

    def _of(self, trial: Trial) -> TrialStanding:
        return self.trials.setdefault(trial.name, TrialStanding(trial))

    def _learn(self) -> None:
        """From all rows so far: seconds per trained epoch, of each arm and of all, and what a trial takes besides."""
        by_arm: dict[str, list[float]] = {}
        besides = []
        for each in self.trials.values():
            seconds = [row["seconds"] for row in each.history if row["epoch"] > 0]
            by_arm.setdefault(each.trial.arm.name, []).extend(seconds)
            if each.record and each.state != "failed":
                besides.append(max(0.0, each.record.seconds - sum(seconds)))
        self._pace = {arm: statistics.fmean(seconds) for arm, seconds in by_arm.items() if seconds}
        everything = [each for seconds in by_arm.values() for each in seconds]
        self._mean_pace = statistics.fmean(everything) if everything else None
        self._besides = statistics.fmean(besides) if besides else 0.0
