"""A trial's temporary folder, which does not outlive a trial that was killed for long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "simclip-trial-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for the block; those whose process was killed are deleted first.

    A killed process leaves its checkpoints behind. Every folder is locked by its process, and the kernel drops the lock
    with the process: what nobody holds is nobody's.
    """
    drop_orphans()
    part = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with _locked(part):
        folder = part.rename(part.with_name(part.name[1:]))  # found by others only when it is locked
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def drop_orphans() -> None:
    """Delete the folders on this machine whose process has gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(folder):  # another's, or just gone
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock.

    Raises:
        OSError: Another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
