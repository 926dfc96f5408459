"""`tune.py run` and `tune.py reproduce`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from simclip.cli.arguments import Overrides
from simclip.cli.exits import DONE, FAILED, INTERRUPTED, heed_termination
from simclip.cli.output import say
from simclip.cli.session import conclude, hold, settle
from simclip.cli.terminal.comparison_table import comparison_table, repetition_lines
from simclip.cli.terminal.forecast_table import forecast_table
from simclip.demo.dataset import ensure_dataset
from simclip.errors import InputError
from simclip.report import write_report
from simclip.study.analysis.best import read_best, read_trial
from simclip.study.analysis.reproduce import compare, repeated, rerun
from simclip.study.execution.cluster import Cluster, connect
from simclip.study.execution.forecast import forecast
from simclip.study.execution.ownership import held, typed_again
from simclip.study.execution.preflight import check_study, prepare_study
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.study_file import DEMO, DEMO_DATA, load_with_data
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder

Address = Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")]


def run(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")] = DEMO,
    overrides: Overrides = (),
    results: Annotated[str, tyro.conf.arg(metavar="RESULTS")] = "results",
    dry_run: bool = False,
    fresh: bool = False,
    demo: bool = False,
    retry_failed: bool = False,
    address: Address = None,
) -> int:
    """Run a study, or go on with it: what has ended is not run again, what was cut off goes on after its last epoch.

    Args:
        study: study file.
        overrides: changes to it, such as train.epochs=2.
        results: folder that holds a folder per study, or a URI such as s3://bucket/results.
        retry_failed: run trials again that failed in earlier runs.
        demo: shrink the study to the embedded data, to see in minutes what it does.
        dry_run: print arms, trials and the estimated cost, and run nothing.
        fresh: move earlier results of the study aside and begin anew.
        address: of a Ray cluster that runs already; by default $RAY_ADDRESS, else Ray is started here.
    """
    console = Console()
    loaded = load_with_data(study, overrides, demo)
    check_study(loaded)
    folder = StudyFolder.at(f"{results.rstrip('/')}/{loaded.name}")
    if dry_run:
        cluster = connected(console, address)
        loaded = settle(loaded, cluster, folder)
        console.print(forecast_table(loaded, forecast(loaded, cluster)))
        return DONE
    prepared(console, loaded)
    cluster = connected(console, address)
    if fresh:
        set_aside(console, cluster, folder)
    loaded = settle(loaded, cluster, folder)
    end = hold(console, loaded, cluster, folder, retry_failed=retry_failed)
    write_report(folder)
    folder.push()
    again = shlex.join(["python", "tune.py", "reproduce", folder.place()])
    code = conclude(console, end, folder, again, folder.place(layout.REPORT))
    if code == INTERRUPTED:
        say(console, f"Interrupted. To resume: {this_command()}")
    return code


def reproduce(
    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    trial: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    address: Address = None,
) -> int:
    """Run the single best configuration again, alone, and compare its metrics to the last bit.

    Args:
        study: results folder of a study, or its URI.
        trial: another trial of the study than its best.
        seeds: run so many fresh seeds instead of the recorded one, and compare with the confirmed interval.
        address: of a Ray cluster that runs already; by default $RAY_ADDRESS, else Ray is started here.
    """
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds {seeds}: expected at least 1")
    console, results = Console(), StudyFolder.at(study)
    best = read_trial(results, trial) if trial else read_best(results.path)
    single = rerun(best, seeds)
    if DEMO_DATA in single.train.model_dump_json():
        ensure_dataset()
    check_study(single)
    prepared(console, single)
    folder = results.inside("-".join(["reproduced", *([trial] if trial else []), *(["seeds"] if seeds else [])]))
    cluster = connected(console, address)
    set_aside(console, cluster, folder)
    # With its recorded threads and resources, so that there is nothing to settle.
    end = hold(console, single, cluster, folder, single.replicates)
    if end.interrupted:
        return INTERRUPTED
    records = [end.records[each.name] for each in single.replicates]
    repetition = repeated(best, records)
    if seeds is not None:
        console.print(repetition_lines(best, records, repetition, folder))
        return DONE if repetition and repetition.inside else FAILED
    comparison = compare(best, records[0])
    console.print(comparison_table(comparison, repetition, folder))
    return DONE if all(each.same for each in comparison) else FAILED


def set_aside(console: Console, cluster: Cluster, folder: StudyFolder) -> None:
    """Move earlier results out of the way, unless a study that runs is writing them."""
    if any(folder.path.glob("[!.]*")):
        with held(folder.place(), cluster.shared):
            say(console, f"Earlier results are now in {folder.move_aside()}")


def prepared(console: Console, study: StudyConfig) -> None:
    """Make on this machine what the study's trials share, and print what was left out."""
    for line in prepare_study(study):
        say(console, line)


def connected(console: Console, address: str | None) -> Cluster:
    """A cluster, and the line that says where its dashboard is."""
    cluster = connect(address)
    heed_termination()
    gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
    where = f"dashboard at {cluster.dashboard}" if cluster.dashboard else "no dashboard (pip install ray[default])"
    say(console, f"Ray: {cluster.cpus:g} CPUs{gpus}; {where}")
    return cluster


def this_command() -> str:
    """What was typed, and goes on with the study."""
    return typed_again()
