"""A study from start to end: the search, the confirm stage, and the results that follow from the records."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import TrialScheduler

from simclip.errors import InputError
from simclip.study.analysis.best import read_best
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.write_results import read_results, recorded_hardware, write_results
from simclip.study.execution.budget import Budget
from simclip.study.execution.events import Listener
from simclip.study.execution.recorder import Executor, Recorder
from simclip.study.execution.resources import AnyStudy, Cluster, concurrency, resolve_for_resume
from simclip.study.search.plan import planned_trials, searcher_of
from simclip.study.search.searcher import TrialSource
from simclip.study.search.under_tune import StageSearcher, scheduler
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.folder import StudyFolder
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.records import Record, read_records


@dataclass(frozen=True)
class StudyEnd:
    """How a run of a study ended.

    Attributes:
        results: The results of all trials that have ended, in this run or before.
        interrupted: Whether Ctrl-C cut it short.
        left_out: Whether the budget ended the study before all of its trials had begun.
        redrawn: Number of settings in this run that made no valid training run, so that others were drawn.
    """

    results: StudyResults
    interrupted: bool
    left_out: bool = False
    redrawn: int = 0

    @property
    def records(self) -> dict[str, Record]:
        """The records of the trials, by name."""
        return self.results.records

    @property
    def failed(self) -> list[Record]:
        """The trials that raised."""
        return [record for record in self.records.values() if record.outcome == "failed"]


def run_study(
    study: StudyConfig,
    executor: Executor,
    folder: StudyFolder,
    listeners: Sequence[Listener],
    trials: Sequence[Trial] | None = None,
    retry_failed: bool = False,
) -> StudyEnd:
    """Run every trial that has not ended yet, the search's and then those that confirm it, and derive the results.

    Args:
        study: With its resources filled in (see `cluster.resolved`).
        executor: What runs its trials.
        folder: Its results, claimed for it.
        listeners: Told of all that happens.
        trials: These alone; by default those that the study plans, controls included, and the confirm stage's.
        retry_failed: Run trials again that failed in earlier runs.

    Raises:
        InputError: A trial found its input wrong.
        OSError: The disk is full.
    """
    folder.delete_scratch()
    recorder = Recorder(study, folder, listeners, retry_failed)
    recorder.tidy()
    stages = _Stages(study, folder, recorder, executor.concurrency, trials)
    interrupted = False
    if stages.anything_left:
        try:
            stages.run(executor, listeners)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for listener in listeners:
                listener.study_ended()
            folder.push()
    if interrupted:
        gc.collect()  # the loop that Tune was torn out of holds its processes, and with them the cluster's CPUs
    if recorder.halted_by:
        raise recorder.halted_by
    _derive(recorder, executor.hardware, stages.redrawn)
    return StudyEnd(recorder.results, interrupted, stages.left_out, stages.redrawn)


def finished_study(study: AnyStudy, folder: StudyFolder, retry_failed: bool = False) -> StudyEnd | None:
    """The end of a study of which no trial is left to run, its results derived anew; None if there may be one.

    Assumes the cluster of the last run, which results.json describes: without one, nothing has been finished.

    Args:
        study: The study.
        folder: Its results.
        retry_failed: Whether failed trials are to run again.

    Raises:
        InputError: The folder belongs to another study or another running command.
    """
    hardware, cluster = recorded_hardware(folder.path), last_cluster(folder)
    if hardware is None or cluster is None:
        return None
    try:
        study = resolve_for_resume(study, cluster, folder)
    except InputError:
        return None  # the study asks for more than that cluster had
    recorder = Recorder(study, folder, [], retry_failed)
    stages = _Stages(study, folder, recorder, concurrency(study, cluster), None)
    if stages.anything_left:
        return None
    folder.claim(study)
    recorder.tidy()
    _derive(recorder, hardware)
    return StudyEnd(recorder.results, interrupted=False, left_out=stages.left_out)


def last_cluster(folder: StudyFolder) -> Cluster | None:
    """The cluster of a study's last run, which may be gone; None if it is not on record."""
    hardware = recorded_hardware(folder.path)
    return Cluster.of_record(hardware) if hardware else None


class _Stages:
    """The search and the confirm stage of one run."""

    def __init__(
        self,
        study: StudyConfig,
        folder: StudyFolder,
        recorder: Recorder,
        concurrency: int,
        trials: Sequence[Trial] | None,
    ) -> None:
        self.study, self.folder, self.recorder, self.concurrency = study, folder, recorder, concurrency
        self.budget = Budget(study, recorder.records, concurrency)
        self.redrawn = 0
        self._given = trials is not None
        if trials is None:
            trials = under_recorded_names(study, planned_trials(study, self._begun), self._begun)
        self._search = self._rest(trials)

    @property
    def anything_left(self) -> bool:
        """Whether the study has trials left that its budget allows, or its searcher may find more."""
        return (self._searching and self.budget.allows_another()) or bool(self._confirming())

    @property
    def left_out(self) -> bool:
        """Whether the budget has ended the study before all of its trials."""
        more = not self._given and searcher_of(self.study).wants_more(self.study, self._begun)
        searching = self.budget.exhausted and (more or bool(self._rest(self._search)))
        return searching or (self.budget.trials_left == 0 and bool(self._rest(confirm_trials(self.recorder.results))))

    def run(self, executor: Executor, listeners: Sequence[Listener]) -> None:
        """Run one stage after the other."""
        for listener in listeners:
            listener.study_started(self._search, self.concurrency)
        if self._searching:
            source = searcher_of(self.study).start(self.study, self._search, self._begun, self.folder.path)
            names = {*self._begun, *(trial.name for trial in self._search)}
            searcher = StageSearcher(self.study, source, self.folder.checkpoints(names), self.budget)
            self._run_stage(executor, searcher, scheduler(self.study))
            self.redrawn = searcher.redrawn
        ended = -1
        while (again := self._confirming()) and len(self.recorder.records) > ended:
            ended = len(self.recorder.records)
            self.recorder.plan_looks()
            for listener in listeners:
                listener.confirm_started(again, self.recorder.results)
            checkpoints = self.folder.checkpoints(each.name for each in again)
            self._run_stage(executor, StageSearcher(self.study, TrialSource(again), checkpoints), None)
            self.recorder.record_looks()

    @property
    def _begun(self) -> dict[str, Record]:
        """The search's trials that have begun."""
        return self.recorder.begun.of_stage("search")

    @property
    def _searching(self) -> bool:
        """Whether planned trials are left, or the searcher may ask for more."""
        more = not self._given and searcher_of(self.study).wants_more(self.study, self._begun)
        return bool(self._search) or more

    def _rest(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that have not ended; trials that have begun come first."""
        rest = [trial for trial in trials if trial.name not in self.recorder.records]
        return sorted(rest, key=lambda trial: trial.name not in self.recorder.unfinished)

    def _confirming(self) -> list[Trial]:
        """The trials that the confirm stage still has to run, as far as the search's records go."""
        if self._given or self.recorder.halted_by:
            return []
        return self._rest(confirm_trials(self.recorder.results))[: self.budget.trials_left]

    def _run_stage(self, executor: Executor, searcher: StageSearcher, early_stopping: TrialScheduler | None) -> None:
        """Run one stage, and delete what only a running stage needs."""
        self.recorder.searcher = searcher
        executor.run_stage(searcher, self.recorder, early_stopping)
        self.folder.delete_scratch()


def _derive(recorder: Recorder, hardware: dict[str, Any], redrawn: int = 0) -> None:
    """Write everything that follows from the records on disk, and put the best arm's model in its place.

    Args:
        recorder: Has the study and the folder of its results.
        hardware: What it ran on.
        redrawn: Number of settings that this run drew again; earlier runs have left theirs in results.json.
    """
    study, folder = recorder.study, recorder.folder
    recorder.record_looks()
    if searcher_of(study).plans_ahead:
        redrawn = searcher_of(study).redrawn(study)
    else:
        redrawn += read_results(folder.path).get("search", {}).get("redrawn", 0)
    held = None
    with contextlib.suppress(InputError):
        held = read_best(folder.path).trial
    results = StudyResults(study, read_records(folder.trials), ItemFiles(folder.trials), recorder.results.log)
    if best := write_results(folder.path, results, hardware, redrawn):
        model = f"{layout.MODELS}/{best.record.trial}"
        if "best" in folder.storage.folders(model):
            folder.storage.copy(f"{model}/best", layout.BEST_MODEL)
        elif held != best.record.trial:  # the model was not kept, and the folder holds another arm's
            folder.storage.delete(layout.BEST_MODEL)
    folder.push()
