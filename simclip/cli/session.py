"""One study from start to end, as a person sees it. It imports torch and Ray, which takes seconds."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console

from simclip.cli.exits import DONE, FAILED, INTERRUPTED, heed_termination
from simclip.cli.output import say
from simclip.cli.terminal.forecast_table import forecast_table
from simclip.cli.terminal.live_table import progress_listener
from simclip.cli.terminal.outcome import closing, confirmation, ranking
from simclip.cli.wording.formatting import counted
from simclip.cli.wording.verdict import unconfirmed
from simclip.study.execution.cluster import connect, own_folder, prepare_nodes
from simclip.study.execution.events import Listener
from simclip.study.execution.forecast import check_models, forecast
from simclip.study.execution.ownership import Owner, own_file
from simclip.study.execution.preflight import prepare_study, refuse_other_reading, write_left_out
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.resources import Cluster, device_notes, resolve_for_resume
from simclip.study.execution.run import StudyEnd, finished_study, run_study
from simclip.study.execution.trackers import Prometheus, TensorBoard, WeightsAndBiases, wandb_status
from simclip.study.search.asha import why_off
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.compatibility import machine_changes
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import damaged, read_all, read_records


def prepare(console: Console, study: StudyConfig) -> None:
    """Load model and data once, cache what the trials share, and print notes about the data."""
    say(console, "Loading model and data...")
    check_models(study)
    for line in prepare_study(study):
        say(console, line)


def connect_to_ray(console: Console, address: str | None) -> Cluster:
    """Connect to a Ray cluster, or start one on this machine, and print where its dashboard is."""
    say(console, f"Connecting to Ray at {address}..." if address else "Starting Ray...")
    cluster = connect(address)
    heed_termination()
    gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
    where = f"dashboard at {cluster.dashboard}" if cluster.dashboard else "no dashboard (pip install ray[default])"
    say(console, f"Ray: {cluster.cpus:g} CPUs{gpus}; {where}")
    return cluster


def show_forecast(
    console: Console, study: StudyConfig, folder: StudyFolder, address: str | None, retry_failed: bool = False
) -> None:
    """Print arms, trials and the estimated cost."""
    check_models(study)
    cluster = connect_to_ray(console, address)
    study = resolve_for_resume(study, cluster, folder)
    for line in device_notes(study, cluster):
        say(console, line)
    say(console, "Starting workers...")
    console.print(forecast_table(study, forecast(study, cluster, read_all(folder.trials, retry_failed))))


def finished(study: StudyConfig, folder: StudyFolder, retry_failed: bool) -> StudyEnd | None:
    """The end of a study of which no trial is left to run, found without Ray; None if one is left."""
    if not folder.file.is_file():
        return None
    refuse_other_reading(study, folder)
    if folder.mirror:  # without a lock: two drivers that have nothing left to run write the same
        return finished_study(study, folder, retry_failed)
    with own_file(folder.path, Owner.me()) as done:
        end = finished_study(study, folder, retry_failed)
        if end:
            done()
    return end


def set_aside(console: Console, cluster: Cluster, folder: StudyFolder) -> None:
    """Move earlier results out of the way, unless a running study writes them."""
    if any(folder.path.glob("[!.]*")):
        with own_folder(folder.place(), cluster.shared):
            say(console, f"Earlier results are now in {folder.move_aside()}")


def run_and_show(
    console: Console,
    study: StudyConfig,
    cluster: Cluster,
    folder: StudyFolder,
    trials: Sequence[Trial] | None = None,
    shown: Listener | None = None,
    retry_failed: bool = False,
) -> StudyEnd:
    """Run a study and show its progress.

    Args:
        console: Where to show it.
        study: The study, with its resources filled in.
        cluster: The cluster that it runs on.
        folder: Its results.
        trials: The trials to run; by default those that the study plans.
        shown: What shows the progress; by default a table, or lines if there is no terminal.
        retry_failed: Run trials again that failed in earlier runs.

    Raises:
        InputError: The folder belongs to another study or another running command, or a trial found its input wrong.
    """
    with own_folder(folder.place(), cluster.shared) as done:
        refuse_other_reading(study, folder)
        changed = machine_changes(folder.recorded(), study)
        folder.claim(study)
        if changed:
            say(console, changed)
        for path in damaged(folder.trials):
            say(console, f"{path}: damaged; its trial goes on from what is left of it")
        for line in write_left_out(study, folder):
            say(console, line)
        for line in prepare_nodes(study, folder.storage):
            say(console, line)
        for line in device_notes(study, cluster):
            say(console, line)
        tracked, why = wandb_status(os.environ)
        say(console, why)
        if asha_off := why_off(study):
            say(console, asha_off)
        ended = read_records(folder.trials)
        listeners: list[Listener] = [TensorBoard(folder.path / layout.TENSORBOARD), Prometheus(study, ended)]
        if tracked:
            listeners.append(WeightsAndBiases(study.name, folder.path, lambda line: say(console, line)))
        say(console, "Starting workers...")
        listeners.append(shown or progress_listener(console, study, folder.logs, ended))
        end = run_study(study, RayExecutor(study, cluster, folder), folder, listeners, trials, retry_failed)
        if not end.interrupted and trials is None:
            done()
    return end


def conclude(
    console: Console,
    end: StudyEnd,
    folder: StudyFolder,
    reproduce: str,
    retry: str,
    report: str | None = None,
) -> int:
    """Print the outcome of a study; returns the exit code.

    Args:
        console: Where to print.
        end: How it ended.
        folder: Its results.
        reproduce: The command that runs the best configuration again.
        retry: The command that runs failed trials again.
        report: Place of the report, if there is one.
    """
    say(console, "")
    if end.redrawn:
        say(console, f"{counted(end.redrawn, 'setting')} made no valid training run and others were drawn instead.")
    if end.left_out:
        say(console, "The budget ended the study before all of its trials. Raise the budget to run more.")
    console.print(ranking(end.results))
    say(console, "")
    if (confirmed := confirmation(end.results)) is not None:
        console.print(confirmed)
        say(console, "")
    console.print(closing(end.results, folder, reproduce, report, retry))
    if end.interrupted:
        return INTERRUPTED
    asked = any(not arm.control for arm in end.results.ranking)
    return FAILED if end.failed or (asked and unconfirmed(end.results)) else DONE
