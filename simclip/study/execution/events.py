"""Events of a running study, for progress tables, trackers and logs."""

from __future__ import annotations

from collections.abc import Sequence

from simclip.study.analysis.results import StudyResults
from simclip.study.spec.arms import Trial
from simclip.study.store.records import Record
from simclip.train.history import Row


class Listener:
    """Receives every event of a study, in order, in the driver; by default the methods do nothing."""

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """The study starts. `trials` are the planned trials of the search: none with Optuna."""

    def confirm_started(self, trials: Sequence[Trial], results: StudyResults) -> None:
        """The search has ended, or a look at the confirm stage was taken; `trials` are those up to the next look."""

    def trial_started(self, trial: Trial) -> None:
        """A trial has got its resources and starts."""

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """The record of an epoch is on disk; epoch 0 is the base model."""

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """A trial has finished, was stopped or has failed; its record is on disk."""

    def study_ended(self) -> None:
        """No more events will come."""
