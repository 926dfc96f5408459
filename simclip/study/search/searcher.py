"""What a searcher is: it decides which arms a study runs, and in which order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from simclip.study.search.coordinates import RanTrial
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig

#: Keys of the results that trials report: the objective after an epoch, and the number of epochs finished, from 0.
METRIC = "metric"
EPOCH = "epoch"


class TrialSource:
    """Gives out the trials of one stage in order, and hears how they go.

    Attributes:
        redrawn: Number of settings that made no valid training run, so that others were drawn in their place.

    Args:
        trials: The trials; a subclass may decide on them as it goes.
    """

    def __init__(self, trials: Sequence[Trial] = ()) -> None:
        self._queue = deque(trials)
        self.redrawn = 0

    def next(self) -> Trial | None:
        """The next trial; None if there is none for now."""
        return self._queue.popleft() if self._queue else None

    def epoch_ended(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """A trial reported an epoch; epoch 0 is the base model.

        Args:
            trial: The trial.
            result: Its objective and number of epochs, under METRIC and EPOCH.
        """

    def trial_ended(self, trial: Trial, result: Mapping[str, Any] | None, failed: bool) -> None:
        """A trial ended.

        Args:
            trial: The trial.
            result: Its last result, if it reported any.
            failed: Whether it raised or its process was lost; `requeued` follows if it runs again.
        """

    def requeued(self, trial: Trial) -> None:
        """A trial whose process was lost runs again: it has not failed."""


class BegunTrial(RanTrial, Protocol):
    """What a searcher needs to know of a trial of an earlier run; a record has all of it."""

    @property
    def arm(self) -> str:
        """Name of its arm."""

    @property
    def outcome(self) -> str | None:
        """How it ended; None if it has not."""

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """A result per epoch."""

    @property
    def score(self) -> float | None:
        """The objective at its best epoch."""


class Searcher(ABC):
    """A way to choose a study's arms.

    A new searcher is one module in `simclip/study/search/searchers` with one subclass. One that knows its arms in
    advance only has to name itself and to list them.

    Attributes:
        name: Its name in study files.
        plans_ahead: Whether all arms are known before the first trial.
        exhaustive: Whether it runs every combination of the parameters' values.
    """

    name: ClassVar[str]
    plans_ahead: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = False

    @abstractmethod
    def planned(self, study: StudyConfig) -> list[Arm]:
        """The arms that are known in advance, in the order in which they run; empty if it decides as it goes.

        Raises:
            InputError: Settings that make no valid training run; names the arm.
        """

    def check(self, study: StudyConfig) -> None:
        """Refuse a study that this searcher cannot run.

        Raises:
            ValueError: The field that is wrong, and how to fix it.
        """
        if study.trials is None:
            raise ValueError(f"trials: missing; searcher {self.name} needs the number of settings to try")
        if study.trials < 2:
            raise ValueError("trials: 1 leaves no room for an arm beside plain fine-tuning; give at least 2")
        if all(parameter.size == 1 for parameter in study.parameters.values()):
            raise ValueError(f"parameters: none of them varies, so that searcher {self.name} has nothing to search")

    def foreseen(self, study: StudyConfig) -> list[Arm]:
        """The arms that stand for the search before it begins, in checks and forecasts."""
        return self.planned(study)

    def trial_count(self, study: StudyConfig) -> int:
        """The number of trials that the search will run."""
        return len(self.foreseen(study)) * len(study.seeds)

    def redrawn(self, study: StudyConfig) -> int:
        """The number of planned draws that made no valid training run and were drawn again."""
        return 0

    def wants_more(self, study: StudyConfig, begun: Mapping[str, BegunTrial]) -> bool:
        """Whether it may still ask for trials beside the planned ones.

        Args:
            study: The study.
            begun: The search's trials that have begun, by name.
        """
        return False

    def start(
        self, study: StudyConfig, planned: Sequence[Trial], begun: Mapping[str, BegunTrial], folder: Path | None
    ) -> TrialSource:
        """Begin the search, or continue it.

        Args:
            study: The study.
            planned: The planned trials that have not ended, in the order in which they run.
            begun: The search's trials that have begun in earlier runs, by name.
            folder: Where it may keep files of its own; None keeps none.
        """
        return TrialSource(planned)
