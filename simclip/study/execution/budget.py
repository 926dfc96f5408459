"""The budget of a study, which ends the search early enough for the confirm stage, and the trials that are left."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simclip.study.analysis.confirm import confirm_trial_count, confirm_trials_at_most
from simclip.study.analysis.results import StudyResults
from simclip.study.search.plan import foreseen_arms, planned_trials, searcher_of
from simclip.study.search.space import is_plain, plain_settings
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.compatibility import under_recorded_names
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


@dataclass(frozen=True)
class TrialsLeft:
    """The trials of a study that have not ended.

    Attributes:
        ended: Number of trials that have ended.
        search: Number of trials of the search that are left.
        cut: Number of further ones, which the budget leaves out.
        confirming: Number of trials that are left to confirm, if all trials of the search finish.
    """

    ended: int
    search: int
    cut: int
    confirming: int


def trials_left(study: StudyConfig, records: Mapping[str, Record], seconds: float, concurrency: int) -> TrialsLeft:
    """Count the trials that a study still has to run.

    Args:
        study: The study, with its resources filled in.
        records: The records of all trials that have begun.
        seconds: Estimated duration of a trial.
        concurrency: Maximum number of trials at a time.
    """
    results = StudyResults(study, records)
    left, now = _search_left(results), 0.0
    ended = dict(results.ended)
    budget = Budget(study, ended, concurrency, lambda: now)
    run: list[Trial] = []
    for trial in left:
        if run and len(run) % concurrency == 0:
            now += seconds
            ended |= {each.name: _finished(each, seconds) for each in run[-concurrency:]}
        if not budget.allows_another():
            break
        budget.begin(trial)
        run.append(trial)
    if left:
        arms = {each.arm for each in results.search.values() if not each.control}
        arms |= {trial.arm.name for trial in run if not trial.arm.is_control}
        confirming = max(0, confirm_trial_count(study, len(arms)) - len(results.confirm))
    else:
        confirming = sum(trial.name not in results.ended for trial in confirm_trials_at_most(results))
    if budget.trials_left is not None:
        confirming = min(confirming, budget.trials_left)
    return TrialsLeft(len(results.ended), len(run), len(left) - len(run), confirming)


def _search_left(results: StudyResults) -> list[Trial]:
    """The trials of the search that have not ended; stand-ins for those that the searcher has not decided on."""
    study, begun = results.study, results.of_stage("search")
    searcher = searcher_of(study)
    if searcher.plans_ahead:
        planned = under_recorded_names(study, planned_trials(study, begun), begun)
        return [trial for trial in planned if trial.name not in results.ended]
    config, plain = foreseen_arms(study)[0].config, plain_settings(study)
    controls = sum(record.control for record in results.search.values())
    missing = max(0, plain - controls)
    wanted = searcher.trial_count(study) - len(results.search) + max(0, 0 if is_plain(study) else controls - plain)
    kinds = [number < missing or is_plain(study) for number in range(max(0, wanted))]
    return [Trial(Arm(f"further arm {number}", config, kind), study.seeds[0]) for number, kind in enumerate(kinds)]


def _finished(trial: Trial, seconds: float) -> Record:
    return Record.of(trial, [], outcome="finished", seconds=seconds)
