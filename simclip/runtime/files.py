"""Atomic files, checksums, hard links, the place of the cache, and sizes on disk."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A disk with less room than this after a failed write is full, in bytes.
FULL = 1 << 20
#: Suffix of files that are being written.
PART = ".part"


def cache_folder() -> Path:
    """$SIMCLIP_CACHE, else ~/.cache/simclip."""
    return Path(os.environ.get("SIMCLIP_CACHE") or Path.home() / ".cache" / "simclip")


def disk_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; hard links to the same bytes count once."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    stats = [each.lstat() for each in files if each.is_symlink() or each.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 as `write_bytes_atomically` does."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file and sync it to disk, then rename it into place; creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def checksum(path: Path) -> int:
    """The CRC-32 of a file's content, which shows accidental damage."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = zlib.crc32(block, found)
    return found


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raise the OSError of a full disk where a library says it in another way while it writes to a folder.

    safetensors says it in words, PyTorch's zip writer says only that a write failed.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        said = str(error)
        failed = "PytorchStreamWriter failed writing" in said and shutil.disk_usage(folder).free < FULL
        if failed or os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def drop_parts(folder: Path) -> None:
    """Delete the unfinished files of killed processes, at any depth."""
    for part in folder.rglob(f".*{PART}"):
        if part.is_file():
            part.unlink(missing_ok=True)


def link(source: str, target: str) -> None:
    """Make a hard link if the file system supports it, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
