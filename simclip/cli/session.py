"""One study from start to end, as a person sees it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console

from simclip.cli.exits import DONE, FAILED, INTERRUPTED
from simclip.cli.output import say
from simclip.cli.terminal.live_table import progress_listener
from simclip.cli.terminal.outcome import closing, confirmation, ranking
from simclip.study.execution.cluster import AnyStudy, Cluster, resolved
from simclip.study.execution.events import Listener
from simclip.study.execution.ownership import held
from simclip.study.execution.preflight import prepare_nodes
from simclip.study.execution.prometheus import Metrics
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.execution.trackers import TensorBoard, WeightsAndBiases, wandb_status
from simclip.study.search.asha import scheduler
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_records


def settle(study: AnyStudy, cluster: Cluster, folder: StudyFolder) -> AnyStudy:
    """The study with its resources filled in, and with the threads that its earlier results were made with."""
    threads = (folder.recorded() or {}).get("train.threads")
    if study.train.threads is None and threads is not None:
        study = study.model_copy(update={"train": study.train.model_copy(update={"threads": threads})})
    return resolved(study, cluster)


def hold(
    console: Console,
    study: StudyConfig,
    cluster: Cluster,
    folder: StudyFolder,
    trials: Sequence[Trial] | None = None,
    shown: Listener | None = None,
    retry_failed: bool = False,
) -> StudyEnd:
    """Run a study and show it.

    Args:
        console: Where to show it.
        study: With its resources filled in.
        cluster: That it runs on.
        folder: Its results.
        trials: By default those that the study plans.
        shown: What shows the progress; by default a table, or lines where there is no terminal.
        retry_failed: Run trials again that failed in earlier runs.

    Raises:
        InputError: The folder belongs to another study or another running command, or a trial found its input wrong.
    """
    with held(folder.place(), cluster.shared) as done:
        folder.claim(study)
        for line in prepare_nodes(study, folder.storage):
            say(console, line)
        tracked, why = wandb_status(os.environ)
        say(console, why)
        if (why_off := scheduler(study)[1]) is not None:
            say(console, why_off)
        ended = read_records(folder.trials)
        listeners: list[Listener] = [TensorBoard(folder.path / layout.TENSORBOARD), Metrics(study, ended)]
        if tracked:
            listeners.append(WeightsAndBiases(study.name, folder.path, lambda line: say(console, line)))
        listeners.append(shown or progress_listener(console, study, folder.logs, ended))
        end = run_study(study, RayExecutor(study, cluster, folder), folder, listeners, trials, retry_failed)
        if not end.interrupted:
            done()
    return end


def conclude(
    console: Console,
    end: StudyEnd,
    folder: StudyFolder,
    reproduce: str,
    report: str | None = None,
) -> int:
    """Print what came of a study; returns the exit code.

    Args:
        console: Where to print.
        end: How it ended.
        folder: Its results.
        reproduce: The command that runs the best configuration again.
        report: The page, if there is one.
    """
    say(console, "")
    if end.left_out:
        say(console, "The budget ended the search before all of its trials. Raise it for more.")
    console.print(ranking(end.results))
    say(console, "")
    if (confirmed := confirmation(end.results)) is not None:
        console.print(confirmed)
        say(console, "")
    console.print(closing(end.results, folder, reproduce, report))
    if end.interrupted:
        return INTERRUPTED
    return FAILED if end.failed else DONE
