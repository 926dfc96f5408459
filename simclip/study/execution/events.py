"""Who is told what happens in a study: tables, trackers, logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simclip.study.spec.arms import Trial
from simclip.study.store.records import Record
from simclip.train.history import Row


class Listener:
    """Told of every event in the driver, in order; the methods do nothing until overridden."""

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Before the first trial, with those that the search plans; an Optuna search plans none ahead."""

    def confirm_started(self, trials: Sequence[Trial], records: Mapping[str, Record]) -> None:
        """The search is over, and these trials are to confirm what its records say."""

    def trial_started(self, trial: Trial) -> None:
        """A trial has got its resources."""

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """An epoch's record is on disk; epoch 0 is the untouched model."""

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """A trial has ended, one way or another; its record is on disk."""

    def study_ended(self) -> None:
        """No more events will come."""
