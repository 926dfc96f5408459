"""The budget of a study: the search ends early enough for the confirm stage."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping

from simclip.study.analysis.confirm import confirm_trial_count
from simclip.study.analysis.results import StudyResults
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


class Budget:
    """Decides before each trial of the search whether the budget allows it and the confirm stage after it.

    Args:
        study: The study, with its resources filled in.
        records: Records of all trials that have ended; the recorder keeps it up to date.
        concurrency: Maximum number of trials at a time.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self,
        study: StudyConfig,
        records: Mapping[str, Record],
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._records, self._concurrency, self._clock = study, records, concurrency, clock
        self._began = clock()
        earlier = StudyResults(study, records)
        self._earlier = earlier.spent.wall_hours
        self._begun = {name: (record.arm, record.control) for name, record in earlier.search.items()}
        self._running: dict[str, float] = {}
        self.exhausted = False

    def begin(self, trial: Trial) -> None:
        """Note the start of a trial."""
        self._begun[trial.name] = trial.arm.name, trial.arm.is_control
        self._running[trial.name] = self._clock()

    def allows_another(self) -> bool:
        """Whether one more trial may start; once it is False, it stays False."""
        self.exhausted = self.exhausted or not self._has_room()
        return not self.exhausted

    @property
    def trials_left(self) -> int | None:
        """Number of trials that may still begin, in either stage; None without a limit."""
        limit = self._study.budget.trials
        return None if limit is None else max(0, limit - len({*self._begun, *self._records}))

    def _has_trials(self) -> bool:
        """Whether the number of trials allows one more of the search, its arm's other seeds and the confirm stage.

        A number that is too small for the smallest comparison goes to the search alone.
        """
        study, left, limit = self._study, self.trials_left, self._study.budget.trials
        if left is None or limit is None:
            return True
        seeds = len(study.seeds)
        if not study.confirm or limit < 2 * seeds + confirm_trial_count(study, 1):
            return left > 0
        counts = Counter(self._begun.values())
        missing = sum(max(0, seeds - number) for number in counts.values())
        others = sum(not control for _, control in counts)
        confirmed = sum(record.stage == "confirm" for record in self._records.values())
        confirming = confirm_trial_count(study, max(1, others if missing else others + 1)) - confirmed
        return (missing or seeds) + max(0, confirming) <= left

    def _has_room(self) -> bool:
        budget = self._study.budget
        if not self._has_trials():
            return False
        ended = [record for record in self._records.values() if record.outcome in ("finished", "stopped")]
        if not ended:
            return True  # how long a trial takes is not known yet
        seconds = statistics.fmean(record.seconds for record in ended)
        arms = {record.arm for record in self._records.values() if not record.control}
        confirming = confirm_trial_count(self._study, len(arms) + 1)
        if budget.hours is not None:
            elapsed = self._earlier + (self._clock() - self._began) / 3600
            rounds = 1 + math.ceil(confirming / self._concurrency)
            if elapsed + rounds * seconds / 3600 > budget.hours:
                return False
        if budget.gpu_hours is not None:
            gpus = self._study.resources.workers * (self._study.resources.gpus or 0)
            running = sum(1 for name in self._running if name not in self._records)
            trials = sum(record.seconds for record in self._records.values()) / seconds + running + 1 + confirming
            return trials * seconds * gpus / 3600 <= budget.gpu_hours
        return True
