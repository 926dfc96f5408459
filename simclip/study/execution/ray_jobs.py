"""Studies as Ray jobs: what travels to the cluster, and how a job is found again by its results folder.

The token that a cluster asks for is Ray's own affair (RAY_AUTH_MODE=token with RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token): it passes through no command line, no metadata and no record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from pydantic import BaseModel
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from simclip.errors import InputError
from simclip.study.execution.cluster import TOKEN
from simclip.study.execution.ownership import COMMAND, JOB, typed_again
from simclip.study.spec.overrides import overridden, read_mapping, read_overrides
from simclip.study.spec.portable_paths import PROJECT
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.study_file import locate
from simclip.study.store.storage import is_uri

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
#: What a job's working folder holds. The demo's pictures are made where the job runs; other data lie on the cluster.
SHIPPED = ("simclip/**/*", "studies/*.yaml", "datasets/*.tsv", "datasets/demo-base/*", "tune.py", "requirements.txt")
MADE_THERE = Path("datasets/demo")
#: Fields, and values of parameters, that are a hub's name or a folder.
MODEL = re.compile(r"\b(model|preprocessor)(\.values?(\[\d+\])?)?$")
#: The job's results, in its metadata.
RESULTS = "simclip_results"
#: Loggers of Ray that tell of each upload.
QUIET = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
#: Between the order to stop and a kill: the step in progress is ended and saved.
STOP_SECONDS = 120
ANSWER_SECONDS = 10


class Jobs:
    """The jobs of a Ray cluster.

    Args:
        address: Of its dashboard; by default $RAY_API_SERVER_ADDRESS, else that of this machine.

    Raises:
        InputError: Nobody answers there, or not to this token. So do all methods.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
        if not self.address.startswith(("http://", "https://")):
            raise InputError(f"--address {self.address}: expected that of Ray's dashboard, such as {DEFAULT_ADDRESS}")
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # or Ray takes $RAY_ADDRESS for it
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._asked():
            requests.get(self.address, timeout=ANSWER_SECONDS)  # Ray's own requests wait for minutes
            self._client = JobSubmissionClient(self.address)

    def submit(self, study: StudyConfig, file: Path, words: Sequence[str], results: str, install: bool = False) -> str:
        """Send a study; returns the job's id.

        Args:
            study: As the file and the overrides say.
            file: The study file, which travels too.
            words: Overrides and flags of `run`.
            results: Folder or URI of this study's results; its parent is the job's --results.
            install: Whether the job's environment is made from requirements.txt, rather than the cluster's own.
        """
        job = f"{study.name}-{secrets.token_hex(3)}"
        with tempfile.TemporaryDirectory() as folder:
            there = bundle(file, Path(folder))
            parent = results.rpartition("/")[0] or "/"
            command = ["python", "tune.py", "run", there, *words, "--address", "auto", "--results", parent]
            environment: dict[str, Any] = {
                "working_dir": folder,
                "env_vars": {JOB: job, COMMAND: typed_again(), "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
            }
            if install:
                environment["pip"] = str(PROJECT / "requirements.txt")
            with self._asked():
                return self._client.submit_job(
                    entrypoint=shlex.join(command),
                    submission_id=job,
                    runtime_env=environment,
                    metadata={RESULTS: results, "job_name": study.name},  # the name that the dashboard shows
                )

    def find(self, target: str) -> JobDetails | None:
        """A job by its id, or the newest one of a results folder."""
        with self._asked():
            jobs = [job for job in self._client.list_jobs() if job.submission_id]
        results = where(target)
        found = [job for job in jobs if target == job.submission_id or (job.metadata or {}).get(RESULTS) == results]
        return max(found, key=lambda job: job.start_time or 0, default=None)

    def stop(self, job: str) -> None:
        """Have a job ended as Ctrl-C would."""
        with self._asked():
            self._client.stop_job(job)

    def status(self, job: str) -> JobDetails:
        """How a job stands."""
        with self._asked():
            return self._client.get_job_info(job)

    def logs(self, job: str) -> str:
        """What a job has printed so far."""
        with self._asked():
            return self._client.get_job_logs(job)

    async def follow(self, job: str) -> AsyncIterator[str]:
        """What a job prints, from its beginning to its end."""
        with self._asked():
            async for text in self._client.tail_job_logs(job):
                yield text

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn what may go wrong between here and the cluster into one line."""
        try:
            yield
        except AuthenticationError as error:
            said = str(error).partition("\n")[0]
            raise InputError(f"{self.address}: {said}; {TOKEN}") from None
        except (requests.RequestException, ConnectionError) as error:
            raise InputError(
                f"{self.address}: no Ray dashboard answers there ({type(error).__name__}); give that of the cluster's "
                "head, or a tunnel to it, with --address"
            ) from None
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.address}: {' '.join(str(error).split())}") from None


def runs(job: JobDetails | None) -> bool:
    """Whether a job runs or is about to."""
    return job is not None and job.status in (JobStatus.PENDING, JobStatus.RUNNING)


def where(results: str) -> str:
    """A results folder as jobs name it: absolute, or a URI."""
    return results.rstrip("/") if is_uri(results) else str(Path(results).absolute())


def results_of(results: str | None, study: StudyConfig) -> str:
    """The folder of a job's results.

    Raises:
        InputError: Not given, or relative: it would lie in the job's own folder, which goes with it.
    """
    if results is None or not (is_uri(results) or results.startswith("/")):
        example = "/shared/results" if results is None else Path(results).absolute()
        raise InputError(
            f"--results {results or 'is missing'}: a job runs in a folder of its own: give an absolute path that every "
            f"node of the cluster sees, such as {example}, or a URI such as s3://bucket/results"
        )
    return f"{results.rstrip('/')}/{study.name}"


def bundle(file: Path, to: Path) -> str:
    """Copy the project's code into a folder, and a study file that is not part of it; returns its path there."""
    for path in shipped():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / path, to / path)
    located = locate(file)
    if located.is_relative_to(PROJECT) and located.relative_to(PROJECT) in shipped():
        return str(located.relative_to(PROJECT))
    shutil.copy2(located, to / located.name)
    return located.name


def shipped() -> set[Path]:
    """The files that travel with every job, relative to the project's folder."""
    files = {path for pattern in SHIPPED for path in PROJECT.glob(pattern) if path.is_file()}
    return {path.relative_to(PROJECT) for path in files if "__pycache__" not in path.parts}


def check_travels(file: Path, overrides: Sequence[str]) -> None:
    """Refuse relative paths, which a job would look for in its own folder, unless they are the project's.

    Args:
        file: A study file that is right otherwise.
        overrides: Of it.

    Raises:
        InputError: Naming the first one.
    """
    study = StudyConfig.model_validate(overridden(read_mapping(locate(file)), read_overrides(overrides)))
    files = shipped()
    there = {MADE_THERE, *files, *(folder for each in files for folder in each.parents)} - {Path(".")}
    for name, path in _paths(study, ""):
        ours = MADE_THERE in path.parents or path in there
        if not path.is_absolute() and not (ours and locate(path) == PROJECT / path):
            raise InputError(
                f"{file}: {name}: {path} is relative, and a job runs in a folder of its own: give the absolute path "
                f"that every node of the cluster sees, such as {locate(path)}"
            )


def _paths(value: Any, name: str) -> Iterator[tuple[str, Path]]:
    """Every path in a study, models that are folders here among them, with its dotted name."""
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, str):
        if MODEL.search(name) and locate(Path(value)).is_dir():
            yield name, Path(value)
    elif isinstance(value, BaseModel):
        yield from _paths(value.model_dump(exclude_unset=True), name)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _paths(each, f"{name}[{number}]")
