"""`tune.py run` and `tune.py reproduce`. What takes seconds to import comes after the input has been checked."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.arguments import Overrides
from simclip.cli.exits import DONE, FAILED, INTERRUPTED
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.config.explain import hint
from simclip.demo.dataset import ensure_dataset
from simclip.errors import InputError
from simclip.runtime.gc import paused_gc
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.ownership import check_free, typed_again
from simclip.study.execution.preflight import check_study
from simclip.study.execution.resources import resolve_for_resume, resolved, with_recorded_numerics
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_all
from simclip.study.store.study_file import DEMO, DEMO_DATA, load_with_data

Address = Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")]


def run(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")] = DEMO,
    overrides: Overrides = (),
    results: Annotated[str, tyro.conf.arg(metavar="RESULTS")] = "results",
    dry_run: bool = False,
    fresh: bool = False,
    demo: bool = False,
    retry_failed: bool = False,
    arm: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    address: Address = None,
) -> int:
    """Run a study or resume it: finished trials are not run again, interrupted ones go on.

    Args:
        study: study file.
        overrides: changes to it, e.g. train.epochs=2.
        results: folder that holds a folder per study, or a URI, e.g. s3://bucket/results.
        retry_failed: run trials again that failed in earlier runs.
        arm: run the search's trials of this arm alone.
        demo: run the study on the built-in demo data, with the changes of its `demo` block.
        dry_run: print arms, trials and the estimated cost, and run nothing.
        fresh: move earlier results of the study aside and start anew.
        address: address of a running Ray cluster; by default $RAY_ADDRESS, else Ray is started on this machine.
    """
    console = SafeConsole()
    loaded = load_with_data(study, overrides, demo, lambda line: say(console, line))
    warnings = check_study(loaded)
    folder = StudyFolder.at(f"{results.rstrip('/')}/{loaded.name}")
    if not dry_run:
        check_free(folder.path)
        if not fresh:
            folder.check_claim(with_recorded_numerics(loaded, folder))
    say(console, f"Study {loaded.name}: results in {folder.place()}")
    for warning in warnings:
        say(console, f"warning: {warning}")
    with paused_gc():
        from simclip.cli import session
        from simclip.report import write_report
    if arm:
        arm_trials(loaded, folder, arm)
    if dry_run:
        session.show_forecast(console, loaded, folder, address, retry_failed)
        return DONE
    end = None if fresh or arm else session.finished(loaded, folder, retry_failed)
    if end is None:
        session.prepare(console, loaded)
        cluster = session.connect_to_ray(console, address)
        if fresh:
            session.set_aside(console, cluster, folder)
        loaded = resolve_for_resume(loaded, cluster, folder)
        alone = arm_trials(loaded, folder, arm) if arm else None
        end = session.run_and_show(console, loaded, cluster, folder, alone, retry_failed=retry_failed)
    write_report(folder)
    folder.push()
    reproduce_command = shlex.join(["python", "tune.py", "reproduce", folder.place()])
    retry_command = typed_again("--retry-failed")
    code = session.conclude(console, end, folder, reproduce_command, retry_command, folder.place(layout.REPORT))
    if code == INTERRUPTED:
        say(console, f"Interrupted. To resume: {typed_again()}")
    return code


def arm_trials(study: StudyConfig, folder: StudyFolder, arm: str) -> list[Trial]:
    """The search's trials of one arm.

    Raises:
        InputError: The search plans no such arm.
    """
    begun = StudyResults(study, read_all(folder.trials)).of_stage("search")
    planned = under_recorded_names(study, planned_trials(study), begun)
    if found := [trial for trial in planned if trial.arm.name == arm]:
        return found
    raise InputError(f"--arm {arm}: the study plans no such arm; {hint(arm, {trial.arm.name: 0 for trial in planned})}")


def reproduce(
    study: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    trial: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    address: Address = None,
) -> int:
    """Run the best configuration again, alone, and compare its metrics to the last bit.

    Args:
        study: results folder of a study, or its URI.
        trial: another trial of the study than its best one.
        seeds: run this number of fresh seeds instead of the recorded one, and compare with the confirmed interval.
        address: address of a running Ray cluster; by default $RAY_ADDRESS, else Ray is started on this machine.
    """
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds {seeds}: expected at least 1")
    console, results = SafeConsole(), StudyFolder.at(study)
    from simclip.study.analysis.best import read_best, read_trial
    from simclip.study.analysis.reproduce import compare, repeated, rerun

    best = read_trial(results, trial) if trial else read_best(results.path)
    single = rerun(best, seeds)
    if DEMO_DATA in single.train.model_dump_json():
        ensure_dataset(notify=lambda line: say(console, line))
    check_study(single)
    folder = results.inside("-".join(["reproduced", *([trial] if trial else []), *(["seeds"] if seeds else [])]))
    check_free(folder.path)
    say(console, f"Reproducing {best.trial}: results in {folder.place()}")
    with paused_gc():
        from simclip.cli import session
        from simclip.cli.terminal.comparison_table import comparison_table, repetition_lines
    session.prepare(console, single)
    cluster = session.connect_to_ray(console, address)
    session.set_aside(console, cluster, folder)
    end = session.run_and_show(console, resolved(single, cluster), cluster, folder)
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
