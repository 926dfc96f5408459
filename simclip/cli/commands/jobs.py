"""The commands of tune.py for studies that run as Ray jobs, and `status` for any study."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import tyro
from ray.job_submission import JobDetails, JobStatus
from rich.console import Console

from simclip.cli.arguments import Overrides
from simclip.cli.exits import DONE, FAILED, INTERRUPTED
from simclip.cli.output import say
from simclip.cli.terminal.study_status import status_lines
from simclip.errors import InputError
from simclip.study.execution.ray_jobs import RESULTS, STOP_SECONDS, Jobs, check_travels, results_of, runs
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.study_file import DEMO, load_study, locate
from simclip.study.store.folder import StudyFolder
from simclip.study.store.storage import is_uri

POLL_SECONDS = 0.5

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
    """Send a study to a Ray cluster as a job, or go on with it; a job that runs already is not sent twice.

    Args:
        study: study file; it and the project's code travel, data lie on the cluster under absolute paths.
        overrides: changes to it, such as train.epochs=2.
        results: folder that holds a folder per study, absolute and seen by every node, or a URI.
        address: of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
        follow: print what the job prints, to its end, and return its exit code.
        fresh: move earlier results of the study aside and begin anew.
        demo: shrink the study to the embedded data, to see in minutes what it does.
        retry_failed: run trials again that failed in earlier runs.
        install: make the job's environment from requirements.txt; by default it is the cluster's own.
    """
    console = Console()
    loaded = load_study(study, overrides, read_mapping(locate(DEMO)) if demo else None)
    if not demo:
        check_travels(study, overrides)
    place, jobs = results_of(results, loaded), Jobs(address)
    running = jobs.find(place)
    if running is not None and runs(running):
        job = str(running.submission_id)
        if fresh:
            raise InputError(f"{place}: job {job} runs there: end it first: python tune.py stop {job}")
        say(console, f"{loaded.name} runs already, as job {job}")
    else:
        flags = {"--fresh": fresh, "--demo": demo, "--retry-failed": retry_failed}
        words = [*overrides, *(flag for flag, given in flags.items() if given)]
        job = jobs.submit(loaded, study, words, place, install)
        say(console, f"Submitted {loaded.name} as job {job}; results: {place}")
    if follow:
        return _follow(console, jobs, job)
    for command in ("status", "logs", "stop"):
        say(console, f"  python tune.py {command} {job} --address {jobs.address}")
    return DONE


def status(target: Target, address: Address = None) -> int:
    """Tell how a study stands: from its results folder, which needs no cluster, or as a job.

    Args:
        target: results folder of a study, or a job's id.
        address: of the cluster's dashboard, for a job; by default $RAY_API_SERVER_ADDRESS or this machine's.
    """
    console = Console()
    if is_uri(target) or Path(target).is_dir():
        for line in status_lines(StudyFolder.at(target)):
            say(console, line)
        return DONE
    job = _found(Jobs(address), target)
    say(console, f"{job.submission_id}: {_ended(job)}; results: {(job.metadata or {}).get(RESULTS)}")
    folder = StudyFolder.at((job.metadata or {}).get(RESULTS, ""))
    if folder.file.is_file():
        for line in status_lines(folder):
            say(console, line)
    return DONE


def stop(target: Target, address: Address = None) -> int:
    """Stop a job as Ctrl-C would: it ends the step in progress and saves. Waits for its end.

    Args:
        target: results folder of a study, or a job's id.
        address: of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
    """
    console, jobs = Console(), Jobs(address)
    job = _found(jobs, target)
    if not runs(job):
        say(console, f"{job.submission_id} does not run: {_ended(job)}")
        return DONE
    say(console, f"Stopping {job.submission_id}: it has {STOP_SECONDS} s to save what it does")
    jobs.stop(str(job.submission_id))
    ended = _end(jobs, str(job.submission_id))
    say(console, f"{job.submission_id}: {_ended(ended)}")
    say(console, "To resume, submit the study again in the same way.")
    return DONE


def logs(target: Target, address: Address = None, follow: bool = False) -> int:
    """Print what a job has printed.

    Args:
        target: results folder of a study, or a job's id.
        address: of the cluster's dashboard; by default $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.
        follow: go on to the job's end, and return its exit code.
    """
    jobs = Jobs(address)
    job = str(_found(jobs, target).submission_id)
    if follow:
        return _follow(Console(), jobs, job)
    sys.stdout.write(jobs.logs(job))
    return DONE


def _found(jobs: Jobs, target: str) -> JobDetails:
    job = jobs.find(target)
    if job is None:
        raise InputError(f"{target}: neither a results folder here nor a job of the cluster at {jobs.address}")
    return job


def _follow(console: Console, jobs: Jobs, job: str) -> int:
    """Print a job's log as it comes; the job's own exit code."""
    try:
        asyncio.run(_copy(jobs, job))
    except KeyboardInterrupt:
        say(console, f"\nNo longer followed. Job {job} goes on: python tune.py stop {job} --address {jobs.address}")
        return INTERRUPTED
    ended = _end(jobs, job)
    say(console, f"{job}: {_ended(ended)}")
    if ended.status == JobStatus.STOPPED:
        return INTERRUPTED
    return FAILED if ended.driver_exit_code is None else ended.driver_exit_code


async def _copy(jobs: Jobs, job: str) -> None:
    async for text in jobs.follow(job):
        sys.stdout.write(text)
        sys.stdout.flush()


def _end(jobs: Jobs, job: str) -> JobDetails:
    while runs(found := jobs.status(job)):
        time.sleep(POLL_SECONDS)
    return found


def _ended(job: JobDetails) -> str:
    """A job's status in words."""
    said = job.status.value.lower()
    if job.driver_exit_code:
        return f"{said} with exit code {job.driver_exit_code}"
    if job.status == JobStatus.FAILED:  # before its command ran
        return f"{said}: {' '.join((job.message or '').split())}"
    return said
