"""`tune.py submit`, `stop` and `logs` for studies that run as Ray jobs, and `tune.py status` for any study."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from simclip.cli.arguments import Overrides
from simclip.cli.exits import DONE, FAILED, INTERRUPTED
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole, safe
from simclip.cli.terminal.study_list import studies_in, study_list, summary
from simclip.cli.terminal.study_status import status_lines
from simclip.config.explain import hint
from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.study.execution.job_bundle import check_travels, dashboard, results_of
from simclip.study.execution.ownership import last_owner, owner
from simclip.study.spec.overrides import read_mapping
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import DEMO, load_study, locate

Address = Annotated[str | None, tyro.conf.arg(metavar="URL")]
Target = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS|JOB")]


def submit(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")] = DEMO,
    overrides: Overrides = (),
    results: Annotated[str | None, tyro.conf.arg(metavar="RESULTS")] = None,
    address: Address = None,
    follow: bool = False,
    fresh: bool = False,
    demo: bool = False,
    retry_failed: bool = False,
    install: bool = False,
) -> int:
    """Submit a study to a Ray cluster as a job, or resume it; a running job is not submitted twice.

    Args:
        study: study file; it is sent with the project's code; data lie on the cluster under absolute paths.
        overrides: changes to it, e.g. train.epochs=2.
        results: absolute path, seen by every node, of a folder that holds a folder per study; or a URI.
        address: address of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
        follow: print the job's output until it ends, and return its exit code.
        fresh: move earlier results of the study aside and start anew.
        demo: run the study on the built-in demo data, with the changes of its `demo` block.
        retry_failed: run trials again that failed in earlier runs.
        install: install requirements.txt in the job's environment; by default the cluster's own environment is used.
    """
    console = SafeConsole()
    loaded = load_study(study, overrides, read_mapping(locate(DEMO)) if demo else None)
    if not demo:
        check_travels(study, overrides)
    place = results_of(results, loaded)
    say(console, f"Connecting to {dashboard(address)}...")
    from simclip.study.execution.ray_jobs import Jobs, runs

    jobs = Jobs(address)
    running = jobs.find(place)
    if running is not None and runs(running):
        job = str(running.submission_id)
        if fresh:
            raise InputError(f"{place}: job {job} is running there; stop it first: python tune.py stop {job}")
        say(console, f"{loaded.name} is already running as job {job}")
    else:
        flags = {"--fresh": fresh, "--demo": demo, "--retry-failed": retry_failed}
        words = [*overrides, *(flag for flag, given in flags.items() if given)]
        job = jobs.submit(loaded, study, words, place, install)
        say(console, f"Submitted {loaded.name} as job {job}; results: {place}")
    if follow:
        return _follow(console, jobs.address, job)
    for command in ("status", "logs", "stop"):
        say(console, f"  python tune.py {command} {job} --address {jobs.address}")
    return DONE


def status(
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS|JOB")] = "results",
    overrides: Overrides = (),
    address: Address = None,
) -> int:
    """Show the state of a study or a job, or list all studies of a folder.

    Args:
        target: results folder of a study, folder that holds such folders, or the id of a job.
        overrides: metric=NAME ranks a study by another metric that its records hold.
        address: address of the cluster's dashboard, for a job; by default $RAY_API_SERVER_ADDRESS or this machine's.
    """
    console = SafeConsole()
    if refused := None if Path(target).is_dir() else _not_a_job(target, ""):
        raise refused
    if not is_uri(target) and not (Path(target) / layout.STUDY).exists() and (studies := studies_in(Path(target))):
        console.print(study_list(studies))
        say(console, summary(studies))
        return DONE
    if is_uri(target) or Path(target).is_dir():
        for line in status_lines(StudyFolder.at(target), overrides):
            say(console, line)
        return DONE
    say(console, f"Connecting to {_asked(address, target)}...")
    from simclip.study.execution.ray_jobs import RESULTS, Jobs, describe

    job = Jobs(address).get(target)
    say(console, f"{job.submission_id}: {describe(job)}; results: {(job.metadata or {}).get(RESULTS)}")
    folder = StudyFolder.at((job.metadata or {}).get(RESULTS, ""))
    if folder.file.is_file():
        for line in status_lines(folder):
            say(console, line)
    return DONE


def _not_a_job(target: str, instead: str) -> InputError | None:
    """Why a target cannot be a job, if it cannot; no dashboard is asked.

    Args:
        target: A results folder or the id of a job.
        instead: What to do about a study that runs on this machine, with {folder} and {pid}.
    """
    if is_uri(target):
        return None
    place = Path(target)
    if not place.is_dir():
        if "/" not in target:
            return None
        beside = [str(each.parent) for each in sorted(place.parent.glob(f"*/{layout.STUDY}"))]
        return InputError(f"no such results folder: {target}" + (f"; {hint(target, beside)}" if beside else ""))
    if not (place / layout.STUDY).is_file():
        return InputError(f"{target}: a folder without the results of a study, and no job")
    last = last_owner(place)
    if last is None or last.job:
        return None
    running = instead.format(folder=target, pid=last.pid) if owner(place) else "it is not running"
    logs = "the logs of its trials are in " + str(place / layout.LOGS)
    return InputError(f"{target}: a study of this machine and not a job: {running}; {logs}")


def stop(target: Target, address: Address = None) -> int:
    """Stop a job like Ctrl-C does, and wait for its end: the current step ends and is saved.

    Args:
        target: results folder of a study, or the id of a job.
        address: address of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
    """
    console = SafeConsole()
    if refused := _not_a_job(target, "press Ctrl-C in its terminal, or type kill -INT {pid}"):
        raise refused
    say(console, f"Connecting to {_asked(address, target)}...")
    from simclip.study.execution.ray_jobs import STOP_SECONDS, Jobs, describe, runs

    jobs = Jobs(address)
    job = jobs.get(target)
    if not runs(job):
        say(console, f"{job.submission_id} is not running: {describe(job)}")
        return DONE
    say(console, f"Stopping {job.submission_id}: it has {STOP_SECONDS} s to save its current step")
    jobs.stop(str(job.submission_id))
    ended = jobs.wait(str(job.submission_id))
    say(console, f"{job.submission_id}: {describe(ended)}")
    say(console, "To resume, submit the study again in the same way.")
    return DONE


def logs(target: Target, address: Address = None, follow: bool = False) -> int:
    """Print the output of a job.

    Args:
        target: results folder of a study, or the id of a job.
        address: address of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
        follow: print until the job ends, and return its exit code.
    """
    if refused := _not_a_job(target, "it is running: python tune.py status {folder}"):
        raise refused
    _asked(address, target)
    from simclip.study.execution.ray_jobs import Jobs

    jobs = Jobs(address)
    job = str(jobs.get(target).submission_id)
    if follow:
        return _follow(SafeConsole(), jobs.address, job)
    sys.stdout.write(safe(jobs.logs(job)))
    return DONE


def _asked(address: str | None, target: str) -> str:
    """The dashboard that knows whether a target is a job.

    Raises:
        InputError: Nothing answers there.
    """
    try:
        return dashboard(address)
    except InputError as error:
        raise InputError(f"{target}: no such results folder here; whether it is a job is unknown: {error}") from None


def _follow(console: Console, address: str | None, job: str) -> int:
    """Print a job's output as it comes; returns the job's own exit code."""
    from ray.job_submission import JobStatus

    from simclip.study.execution.ray_jobs import Jobs, describe

    jobs = Jobs(address)
    try:
        asyncio.run(_copy(jobs.follow(job)))
    except KeyboardInterrupt:
        say(console, f"\nNo longer following. Job {job} goes on: python tune.py stop {job} --address {jobs.address}")
        return INTERRUPTED
    ended = jobs.wait(job)
    say(console, f"{job}: {describe(ended)}")
    if ended.status == JobStatus.STOPPED:
        return INTERRUPTED
    return FAILED if ended.driver_exit_code is None else ended.driver_exit_code


async def _copy(output: AsyncIterator[str]) -> None:
    async for text in output:
        sys.stdout.write(safe(text))
        sys.stdout.flush()
