"""Run the trials of a study under Ray Tune, and keep what they bring."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from simclip.study.arms import Trial, corner_arms, planned_trials
from simclip.study.cluster import Cluster, concurrency, placement, worker_resources
from simclip.study.config import StudyConfig
from simclip.study.confirm import confirm_trials
from simclip.study.folder import StudyFolder
from simclip.study.listeners import Listener
from simclip.study.recorder import Recorder
from simclip.study.records import Record, read_records
from simclip.study.results import hardware, write_results
from simclip.study.search import PlannedTrials, optuna_searcher, scheduler
from simclip.study.trial import Placement, run_trial


@dataclass(frozen=True)
class StudyEnd:
    """How a run of a study ended.

    Attributes:
        records: Of all trials that have ended, in this run or before, by name.
        interrupted: Whether Ctrl-C cut it short.
    """

    records: dict[str, Record]
    interrupted: bool

    @property
    def failed(self) -> list[Record]:
        """The trials that raised."""
        return [record for record in self.records.values() if record.outcome == "failed"]


def run_study(
    study: StudyConfig,
    cluster: Cluster,
    folder: StudyFolder,
    listeners: Sequence[Listener],
    trials: Sequence[Trial] | None = None,
) -> StudyEnd:
    """Run every trial that has not ended yet, the search's and then those that confirm it, and derive the results.

    Args:
        study: With its resources filled in (see `cluster.resolved`).
        cluster: That it runs on.
        folder: Its results, claimed for it.
        listeners: Told of all that happens.
        trials: These alone; by default those that the study plans, controls included, and the confirm stage's.

    Raises:
        InputError: A trial found its input wrong.
    """
    folder.drop_scratch()
    recorder = Recorder(study, folder, listeners)
    wanted = planned_trials(study) if trials is None else trials
    search = [trial for trial in wanted if trial.name not in recorder.records]
    searching = bool(search) or (study.searcher == "optuna" and trials is None)
    interrupted = False
    if searching or _confirming(study, recorder, trials):
        try:
            for listener in listeners:
                listener.study_started(search, concurrency(study, cluster))
            if searching:
                _fit(study, cluster, folder, recorder, _searcher(study, folder, search), asha(study)[0])
            if again := _confirming(study, recorder, trials):
                for listener in listeners:
                    listener.confirm_started(again, recorder.records)
                _fit(study, cluster, folder, recorder, PlannedTrials(again), None)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for listener in listeners:
                listener.study_ended()
    if recorder.wrong_input.error:
        raise recorder.wrong_input.error
    _derive(study, cluster, folder)
    return StudyEnd(recorder.records, interrupted)


def _confirming(study: StudyConfig, recorder: Recorder, trials: Sequence[Trial] | None) -> list[Trial]:
    """The trials that the confirm stage still has to run, as far as the search's records go."""
    if trials is not None or recorder.wrong_input.error:
        return []
    return [trial for trial in confirm_trials(study, recorder.records) if trial.name not in recorder.records]


def _fit(
    study: StudyConfig,
    cluster: Cluster,
    folder: StudyFolder,
    recorder: Recorder,
    searcher: Searcher,
    early_stopping: TrialScheduler | None,
) -> None:
    """Run one stage. What only a running stage needs is gone when it has ended."""
    tuner = tune.Tuner(
        tune.with_resources(functools.partial(run_trial, placement=_placement(study, folder)), placement(study)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=early_stopping,
            num_samples=-1,  # the searcher ends the stage
            max_concurrent_trials=concurrency(study, cluster),
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder.path),
            name=folder.tune.name,
            stop=recorder.wrong_input,
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
    tuner.fit()
    folder.drop_scratch()


def asha(study: StudyConfig) -> tuple[TrialScheduler | None, str | None]:
    """The scheduler of a study, and a line that says why ASHA is off if it was asked for."""
    arms = corner_arms(study) if study.searcher == "optuna" else [trial.arm for trial in planned_trials(study)]
    return scheduler(study, arms)


def _searcher(study: StudyConfig, folder: StudyFolder, trials: list[Trial]) -> Searcher:
    if study.searcher == "optuna":
        return optuna_searcher(study, folder.path / "optuna.db")
    return PlannedTrials(trials)


def _placement(study: StudyConfig, folder: StudyFolder) -> Placement:
    return Placement(study.resources.workers, worker_resources(study), str(folder.logs), str(folder.train))


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"])


def _derive(study: StudyConfig, cluster: Cluster, folder: StudyFolder) -> None:
    """Write everything that follows from the records on disk."""
    best = write_results(folder.path, study, read_records(folder.trials), hardware(cluster.cpus, cluster.gpus))
    if best:
        shutil.rmtree(folder.best, ignore_errors=True)
        shutil.copytree(folder.models / best.record.trial / "best", folder.best)
