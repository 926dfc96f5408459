"""One running driver at a time for a results folder; the lock dies with its owner.

Drivers that share a file system meet at a file lock, which the kernel drops with the process that holds it. Drivers of
one Ray cluster also meet at a named actor, which Ray ends together with the driver that made it: they may see no common
locks (some NFS mounts), or write to an object store.
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
from typing import IO, Any

import ray
from ray.exceptions import ActorAlreadyExistsError, RayError

from simclip.errors import InputError
from simclip.study.store.storage import is_uri

LOCK = ".lock"
NAMESPACE = "simclip"
#: In the environment of a study's Ray job: its id, and the command that was typed to submit it.
JOB, COMMAND = "SIMCLIP_JOB", "SIMCLIP_COMMAND"
#: For so long a lock may outlive its owner: until a killed driver is missed by its cluster.
PATIENCE_SECONDS = 10.0
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Owner:
    """The driver that holds a results folder, or was the last to hold it.

    Attributes:
        host: Its machine.
        pid: Its process.
        job: The id of its Ray job, if it is one that was submitted.
        since: When it took the folder, in seconds since 1970 (UTC).
        command: What was typed, and goes on with the study.
        cwd: Where it was typed; None for a job.
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


def typed_again() -> str:
    """What was typed, in a job to submit it, without what would begin the study anew."""
    return os.environ.get(COMMAND) or shlex.join(["python", *(word for word in sys.argv if word != "--fresh")])


class Holder:
    """The named actor that stands for a held folder on a cluster."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def owner(self) -> Owner:
        """Who made it."""
        return self._owner


@contextlib.contextmanager
def held(results: Path | str, shared: bool, patience: float = PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Hold a results folder for as long as this process lives, or the block lasts.

    The block gets a function, to be called when the study has run to its end.

    Where the file system knows no locks, the cluster's lock alone counts.

    Args:
        results: The folder, made if it is not there; or a URI, which only the cluster's lock can protect.
        shared: Whether other drivers may run on the connected Ray cluster: it was not started for this study alone.
        patience: Seconds to wait for a lock whose owner may have just died.

    Raises:
        InputError: Another driver holds it.
    """
    owner, uri = Owner.me(), is_uri(results)
    with contextlib.ExitStack() as locks:
        done: Callable[[], None] = lambda: None  # noqa: E731
        if not uri:
            done = locks.enter_context(_held_file(Path(results).absolute(), owner, patience))
        if shared or uri:
            locks.enter_context(_held_name(str(results if uri else Path(results).absolute()), owner, patience))
        yield done


def holder(folder: Path) -> Owner | None:
    """The driver that holds a folder now, as far as this machine's file system tells."""
    path = folder / LOCK
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return None if _locked(file, fcntl.LOCK_SH) else _written(file)


def last_holder(folder: Path) -> Owner | None:
    """The driver that held a folder last, whether or not it still does."""
    path = folder / LOCK
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return _written(file)


@contextlib.contextmanager
def _held_file(folder: Path, owner: Owner, patience: float) -> Iterator[Callable[[], None]]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if not _patiently(lambda: _locked(file, fcntl.LOCK_EX), patience):
            raise _refusal(str(folder), _written(file))
        _write(file, owner)
        yield lambda: _write(file, replace(owner, done=True))
        # closing the file drops the lock


@contextlib.contextmanager
def _held_name(results: str, owner: Owner, patience: float) -> Iterator[None]:
    kind = ray.remote(Holder).options(name=results, namespace=NAMESPACE, num_cpus=0)
    made: list[Any] = []

    def make() -> bool:
        with contextlib.suppress(ActorAlreadyExistsError):
            made.append(kind.remote(owner))
        return bool(made)

    if not _patiently(make, patience):
        raise _refusal(results, _named(results))
    try:
        yield
    finally:
        with contextlib.suppress(RayError):  # a lost cluster has lost the lock too
            ray.kill(made[0])


def _named(results: str) -> Owner | None:
    """The owner that a named actor tells of; None where it has just gone."""
    with contextlib.suppress(ValueError, RayError):
        return ray.get(ray.get_actor(results, namespace=NAMESPACE).owner.remote(), timeout=PATIENCE_SECONDS)
    return None


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


def _patiently(attempt: Callable[[], bool], patience: float) -> bool:
    until = time.monotonic() + patience
    while not attempt():
        if time.monotonic() > until:
            return False
        time.sleep(RETRY_SECONDS)
    return True


def _refusal(results: str, owner: Owner | None) -> InputError:
    return InputError(
        f"{results}: a study runs there already ({owner or 'another driver'}): wait for its end, or see how it stands: "
        f"{shlex.join(['python', 'tune.py', 'status', results])}"
    )
