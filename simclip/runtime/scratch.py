"""A trial's temporary folder. Folders that killed trials leave behind are deleted."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "simclip-trial-"
LOCK = ".lock"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder for the block; deletes the folders of killed processes first.

    A killed process leaves its checkpoints behind. Each process locks its folder, and the kernel releases the lock when
    the process dies: unlocked folders are leftovers.
    """
    drop_orphans()
    part = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with FileLock(part / LOCK):
        folder = part.rename(part.with_name(part.name[1:]))  # other processes only look at locked folders
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def drop_orphans() -> None:
    """Delete the folders of dead processes on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(Timeout, OSError), FileLock(folder / LOCK, blocking=False):  # in use, or just deleted
            shutil.rmtree(folder, ignore_errors=True)
