"""Text files that are there whole or not at all, and second names of the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: How files end that are being written.
PART = ".part"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by a new one in one step, on disk before it counts; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def drop_parts(folder: Path) -> None:
    """Delete, at any depth, the files that processes were writing when they were killed."""
    for part in folder.rglob(f".*{PART}"):
        if part.is_file():
            part.unlink(missing_ok=True)


def link(source: str, target: str) -> None:
    """A second name for the same bytes where the file system allows it, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
