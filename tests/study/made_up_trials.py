"""Runs the trials of a study without training: scores are made up, everything else is the study's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from simclip.study.execution.events import Listener
from simclip.study.execution.recorder import Recorder
from simclip.study.execution.resources import resolved
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.search.under_tune import StageSearcher
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from tests.study.in_process import ONE_CPU
from tests.study.made_up import history

#: The score of a trial; None fails it.
Score = Callable[[Trial], float | None]


class MadeUpTrials:
    """An executor; see `simclip.study.execution.recorder.Executor`."""

    concurrency = 1

    def __init__(self, score: Score) -> None:
        self.hardware = {"cluster_cpus": 1, "cluster_gpus": 0}
        self._score = score

    def run_stage(self, searcher: StageSearcher, recorder: Recorder, scheduler: TrialScheduler | None) -> None:
        for number in itertools.count():
            job = searcher.suggest(str(number))
            if job in (None, Searcher.FINISHED):
                return
            trial = searcher.trials[job["trial"]]
            recorder.trial_started(trial)
            score = self._score(trial)
            if score is None:
                searcher.on_trial_complete(str(number), error=True)
                recorder.trial_failed(trial, "RuntimeError: made up")
                continue
            recorder.epoch_ended(trial, history(0.1, *[score] * trial.config.epochs), "CPU")
            searcher.on_trial_complete(str(number), {})
            recorder.trial_finished(trial)


def made_up(
    study: StudyConfig, folder: Path, score: Score, listeners: Sequence[Listener] = (), **how: Any
) -> tuple[StudyEnd, StudyFolder]:
    """Run a study whose trials' scores are made up, in a folder of its name there."""
    study, where = resolved(study, ONE_CPU), StudyFolder(folder / study.name)
    where.claim(study)
    return run_study(study, MadeUpTrials(score), where, listeners, **how), where
