"""Studies as Ray jobs: submitting one, and finding it again by its results folder.

Ray itself reads the token that a cluster asks for (RAY_AUTH_MODE=token with RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token); it is never part of a command line, of metadata or of a record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.study.execution.cluster import TOKEN
from simclip.study.execution.job_bundle import NO_DASHBOARD, bundle, dashboard
from simclip.study.execution.ownership import COMMAND, JOB, typed_again
from simclip.study.spec.portable_paths import PROJECT
from simclip.study.spec.study import StudyConfig

#: Key of the results folder in a job's metadata.
RESULTS = "simclip_results"
#: Loggers of Ray that report every upload.
QUIET = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
#: Seconds between stopping and killing a job, in which it ends and saves the current step.
STOP_SECONDS = 120
#: Seconds between two checks whether a job has ended.
POLL_SECONDS = 0.5


class Jobs:
    """The jobs of a Ray cluster.

    Args:
        address: Address of its dashboard; by default $RAY_API_SERVER_ADDRESS, else this machine's dashboard.

    Raises:
        InputError: No dashboard answers, or it does not accept the token; all methods raise it too.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = dashboard(address)
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # otherwise Ray takes $RAY_ADDRESS
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._asked():
            self._client = JobSubmissionClient(self.address)

    def submit(self, study: StudyConfig, file: Path, words: Sequence[str], results: str, install: bool = False) -> str:
        """Submit a study; returns the job's id.

        Args:
            study: The study.
            file: The study file, which travels with the job.
            words: Overrides and flags of `run`.
            results: Folder or URI of this study's results; its parent is the job's --results.
            install: Install requirements.txt in the job's environment instead of using the cluster's own.
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

    def get(self, target: str) -> JobDetails:
        """A job by its id, or the newest one of a results folder.

        Raises:
            InputError: There is none.
        """
        if job := self.find(target):
            return job
        raise InputError(f"{target}: neither a results folder here nor a job of the cluster at {self.address}")

    def wait(self, job: str) -> JobDetails:
        """Wait for the end of a job."""
        while runs(found := self.status(job)):
            time.sleep(POLL_SECONDS)
        return found

    def stop(self, job: str) -> None:
        """Stop a job like Ctrl-C does."""
        with self._asked():
            self._client.stop_job(job)

    def status(self, job: str) -> JobDetails:
        """The state of a job."""
        with self._asked():
            return self._client.get_job_info(job)

    def logs(self, job: str) -> str:
        """The output of a job so far."""
        with self._asked():
            return self._client.get_job_logs(job)

    async def follow(self, job: str) -> AsyncIterator[str]:
        """The output of a job, from its start to its end."""
        with self._asked():
            async for text in self._client.tail_job_logs(job):
                yield text

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn errors between this machine and the cluster into one line."""
        try:
            yield
        except AuthenticationError as error:
            said = str(error).partition("\n")[0]
            raise InputError(f"{self.address}: {said}; {TOKEN}") from None
        except (requests.RequestException, ConnectionError) as error:
            raise InputError(NO_DASHBOARD.format(self.address, type(error).__name__)) from None
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.address}: {' '.join(str(error).split())}") from None


def describe(job: JobDetails) -> str:
    """A job's status in words."""
    status = job.status.value.lower()
    if job.driver_exit_code:
        return f"{status} with exit code {job.driver_exit_code}"
    if job.status == JobStatus.FAILED:  # before its command ran
        return f"{status}: {' '.join((job.message or '').split())}"
    return status


def runs(job: JobDetails | None) -> bool:
    """Whether a job runs or is about to."""
    return job is not None and job.status in (JobStatus.PENDING, JobStatus.RUNNING)


def where(results: str) -> str:
    """A results folder as jobs name it: an absolute path or a URI."""
    return results.rstrip("/") if is_uri(results) else str(Path(results).absolute())
