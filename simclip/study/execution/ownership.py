"""One running driver at a time for a results folder: the file lock, and who owns it.

The kernel releases the lock together with the process that owns it. Drivers on one Ray cluster also use a named actor
(see `cluster.own_folder`), which Ray ends together with its driver: some NFS mounts share no locks, and buckets have
none. The lock is `flock` and not the filelock package: that one empties the file, which tells who the owner is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from simclip.errors import InputError

LOCK = ".lock"
#: Environment variables of a study's Ray job: its id, and the command that submitted it.
JOB, COMMAND = "SIMCLIP_JOB", "SIMCLIP_COMMAND"
#: Grace period after the owner dies, in seconds: until the cluster notices that a driver was killed.
PATIENCE_SECONDS = 10.0
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Owner:
    """The driver that owns a results folder, or was the last one to own it.

    Attributes:
        host: Name of its machine.
        pid: Process id.
        job: Id of its Ray job, if it was submitted as one.
        since: Start of the ownership, in seconds since 1970 (UTC).
        command: The command that was typed, which also resumes the study.
        cwd: Folder in which it was typed; None for a job.
        done: Whether the study ran to its end.
    """

    host: str
    pid: int
    job: str | None
    since: float
    command: str
    cwd: str | None
    done: bool = False

    @staticmethod
    def me() -> Owner:
        """This process."""
        job = os.environ.get(JOB)
        return Owner(socket.gethostname(), os.getpid(), job, time.time(), typed_again(), None if job else os.getcwd())

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        job = f"Ray job {self.job}, " if self.job else ""
        return f"{job}process {self.pid} on {self.host}, since {since}"


def typed_again(*flags: str) -> str:
    """The command that was typed (in a job: the one that submitted it), without --fresh and with some flags."""
    words = shlex.split(os.environ.get(COMMAND, "")) or ["python", *sys.argv]
    kept = [word for word in words if word not in ("--fresh", *flags)]
    return shlex.join([*kept, *flags])


def owner(folder: Path) -> Owner | None:
    """The driver that owns a folder now, according to the file lock; None if it is free."""
    path = folder / LOCK
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return None if _locked(file, fcntl.LOCK_SH) else _written(file)


def check_free(folder: Path) -> None:
    """Refuse a folder in which a study runs.

    Raises:
        InputError: Another driver owns it.
    """
    if now := owner(folder):
        raise refusal(str(folder), now)


def last_owner(folder: Path) -> Owner | None:
    """The driver that owned a folder last, whether or not it still does."""
    path = folder / LOCK
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return _written(file)


@contextlib.contextmanager
def own_file(folder: Path, owner: Owner, patience: float = PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Own a folder by its file lock while the block runs.

    Yields a function to call when the study has run to its end.

    Args:
        folder: The folder, created if missing.
        owner: This driver.
        patience: Seconds to wait for a lock whose owner may have just died.

    Raises:
        InputError: Another driver owns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if not patiently(lambda: _locked(file, fcntl.LOCK_EX), patience):
            raise refusal(str(folder), _written(file))
        _write(file, owner)
        yield lambda: _write(file, replace(owner, done=True))
        # closing the file releases the lock


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks on this file system
    return True


def _write(file: IO[str], owner: Owner) -> None:
    file.truncate(0)
    file.write(json.dumps(asdict(owner)) + "\n")
    file.flush()


def _written(file: IO[str]) -> Owner | None:
    file.seek(0)
    with contextlib.suppress(ValueError, TypeError):  # read while it is written
        return Owner(**json.loads(file.read()))
    return None


def patiently(attempt: Callable[[], bool], patience: float) -> bool:
    """Repeat an attempt until it succeeds or some seconds have passed; returns whether it succeeded."""
    until = time.monotonic() + patience
    while not attempt():
        if time.monotonic() > until:
            return False
        time.sleep(RETRY_SECONDS)
    return True


def refusal(results: str, owner: Owner | None) -> InputError:
    """The error that another driver owns the results."""
    return InputError(
        f"{results}: a study runs there already ({owner or 'another driver'}): wait for its end, or see how it stands: "
        f"{shlex.join(['python', 'tune.py', 'status', results])}"
    )
