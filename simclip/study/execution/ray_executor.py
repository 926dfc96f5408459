"""Runs trials with Ray Tune, and hands Tune's events on to the recorder."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import re
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import TrialScheduler

from simclip.errors import LostError, causes, full_disk_error, input_error
from simclip.study.analysis.write_results import hardware
from simclip.study.execution.cluster import is_lost, placement
from simclip.study.execution.recorder import Recorder
from simclip.study.execution.resources import Cluster, concurrency, live_nodes, worker_resources
from simclip.study.execution.trial import Placement, run_trial
from simclip.study.search.plan import searcher_of
from simclip.study.search.under_tune import StageSearcher
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import ATTEMPT, StudyFolder
from simclip.train.memory import memory_advice

#: Seconds between two checks that Ray is still there.
CHECK_SECONDS = 5.0
#: Errors that mean that a process or its node was lost. Such a trial runs again; one that raised would raise again.
LOST = (RayActorError, WorkerCrashedError, NodeDiedError)

#: A heading or a frame of Ray in a traceback, with the indented lines below it.
RAYS_PART = re.compile(r'^(?:Failure # \d|\x1b\[36mray::|  File "[^"]*/site-packages/ray/).*\n(?: {4}.*\n)*', re.M)


class RayExecutor:
    """Runs the trials of a study on a connected Ray cluster.

    Args:
        study: The study, with its resources filled in (see `cluster.resolved`).
        cluster: The connected cluster.
        folder: The study's results.
    """

    def __init__(self, study: StudyConfig, cluster: Cluster, folder: StudyFolder) -> None:
        self._study, self._cluster, self._folder = study, cluster, folder
        self._counted = float("-inf")  # monotonic seconds
        self._fits = self.concurrency

    @property
    def concurrency(self) -> int:
        """Maximum number of trials at a time on the nodes that the study begins with."""
        return concurrency(self._study, self._cluster)

    def room(self) -> int:
        """Number of trials to hand to Tune at a time: those that fit the nodes that are up now, and some that wait.

        Waiting trials are the demand that an autoscaler sees. They are handed out on clusters that may have one, where
        it costs nothing: a searcher that decides as it goes would decide too early, and so would a budget.
        """
        if time.monotonic() >= self._counted + CHECK_SECONDS:
            nodes = live_nodes(ray.nodes())
            self._counted = time.monotonic()
            self._fits = concurrency(self._study, replace(self._cluster, nodes=nodes))
        return min(self._fits * (1 + self._may_wait), self._study.max_concurrent or sys.maxsize)

    @property
    def _may_wait(self) -> bool:
        study = self._study
        planned = searcher_of(study).plans_ahead and not study.budget.model_dump(exclude_none=True)
        return self._cluster.shared and study.resources.workers == 1 and planned

    @property
    def hardware(self) -> dict[str, Any]:
        """The cluster and this machine."""
        return hardware(self._cluster.recorded())

    def run_stage(self, searcher: StageSearcher, recorder: Recorder, scheduler: TrialScheduler | None) -> None:
        """Run one stage as one Tune experiment; see `Executor.run_stage`."""
        storage = self._folder.storage
        where = Placement(self._study.resources.workers, worker_resources(self._study), storage)
        searcher.room = self.room
        tuner = tune.Tuner(
            tune.with_resources(functools.partial(run_trial, placement=where), placement(self._study)),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,  # the searcher ends the stage
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_attempt_name,
            ),
            run_config=tune.RunConfig(
                storage_path=storage.root,
                storage_filesystem=storage.arrow,
                name=layout.TUNE,
                stop=_Halt(recorder),
                callbacks=[_Events(recorder, searcher)],
                failure_config=tune.FailureConfig(max_failures=0),  # the recorder runs lost trials again
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except Exception as error:  # Tune itself meets a full disk after the trial that met it first
            if halting := recorder.halted_by or full_disk_error(error):
                raise halting from None
            raise


class _Halt(tune.Stopper):
    """Stops all trials once the recorder has halted the study."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getstate__(self) -> dict[str, Any]:
        """Drop all state: Ray pickles the stopper but never restores it."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stops a single trial."""
        return False

    def stop_all(self) -> bool:
        return self._recorder.halted_by is not None


class _Events(tune.Callback):
    """Tells the recorder what happens to Tune's trials."""

    def __init__(self, recorder: Recorder, searcher: StageSearcher) -> None:
        self._recorder, self._searcher = recorder, searcher
        self._checked = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Drop all state: Ray pickles its callbacks but never restores them; listeners hold threads and open files."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """End a study whose Ray cluster is lost: Tune would wait forever for room to start the lost trials again."""
        if time.monotonic() < self._checked + CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        if is_lost():
            raise LostError("the Ray node on this machine was lost")

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._recorder.trial_started(self._trial(trial))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        self._recorder.epoch_ended(self._trial(trial), result["history"], result["device"])

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._recorder.trial_finished(self._trial(trial))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        ours, error = self._trial(trial), _error_of(trial)
        traceback = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else "unknown error"
        traceback = without_ray_frames(traceback)
        if error and is_lost_process(error):
            self._recorder.trial_lost(ours, traceback, is_preempted(error))
        elif error and is_out_of_memory(error):
            advice = memory_advice(ours.config, self._recorder.study.resources.workers)
            self._recorder.trial_failed(ours, traceback, f"the machine ran out of memory; try {advice}")
        elif error:
            self._recorder.trial_raised(ours, error, traceback)
        else:
            self._recorder.trial_failed(ours, traceback)

    def _trial(self, trial: TuneTrial) -> Trial:
        return self._searcher.trials[_trial_name(trial)]


def _error_of(trial: TuneTrial) -> BaseException | None:
    """The error that a trial ended with. Tune's own get_error reads a copy that may not be there yet."""
    pickled = read_own(Path(trial.pickled_error_file)) if trial.pickled_error_file else None
    return pickle.loads(pickled) if pickled else None


def read_own(path: Path) -> bytes | None:
    """The bytes of a file that is this user's and not writable by all; None if there is no such file.

    Ray's folders on a cluster are open to all, and unpickling another user's file would run their code.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH:
            return file.read()
    return None


def without_ray_frames(traceback: str) -> str:
    """A traceback as Tune writes it, without Ray's headings and the frames of Ray's code."""
    return RAYS_PART.sub("", traceback)


def _trial_name(trial: TuneTrial) -> str:
    return str(trial.config["trial"])


def _attempt_name(trial: TuneTrial) -> str:
    return f"{_trial_name(trial)}{ATTEMPT}{trial.trial_id}"


def is_lost_process(error: BaseException) -> bool:
    """Whether a process or its node was lost.

    When one of several workers dies, the others fail with it, so one such error among many decides. It does not count
    where the machine ran out of memory or a worker's input was wrong: that would happen again.
    """
    lost = any(isinstance(each, LOST) for each in causes(error))
    return lost and not is_out_of_memory(error) and not input_error(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Ray killed a process because the machine ran out of memory."""
    return any(isinstance(each, OutOfMemoryError) or "running low on memory" in str(each) for each in causes(error))


def is_preempted(error: BaseException) -> bool:
    """Whether a cloud provider took the node away, which says nothing about the trial."""
    return any(isinstance(each, RayActorError) and each.preempted for each in causes(error))
