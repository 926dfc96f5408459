"""Storage: where the results of a study are kept, a folder that every node sees or a bucket.

The driver, the trials and Ray Tune write to it. Each file or folder has a key, its path relative to the results, e.g.
`models/k2-s1`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs

from simclip.runtime.files import link, write_bytes_atomically
from simclip.train.history import finished_epochs


class Storage(ABC):
    """The files and folders of one study's results, by key.

    Attributes:
        root: Path of the results in their file system.
    """

    root: str

    @property
    @abstractmethod
    def arrow(self) -> pyarrow.fs.FileSystem | None:
        """The file system for Ray; None for the local one."""

    @abstractmethod
    def __str__(self) -> str:
        """The path or URI of the results, as a user types it."""

    @abstractmethod
    def folders(self, key: str) -> list[str]:
        """The names of the folders in a folder."""

    @abstractmethod
    def finished_epochs(self, key: str) -> int | None:
        """The number of finished epochs in a checkpoint; None if there is no checkpoint or it is incomplete."""

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Replace a folder by a copy of another one; both share the same bytes on disk if possible (hard links).

        Args:
            source: Key of the folder to copy.
            target: Key of the folder to replace.
        """

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Move a folder to another key, replacing what is there."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a folder, if it exists."""

    @abstractmethod
    def fetch(self, key: str, scratch: Path) -> Path:
        """The local path where a file or folder can be read. A changed file has to be sent back.

        Args:
            key: Key of the file or folder, which need not exist yet.
            scratch: Local folder for files that have to be downloaded.
        """

    @abstractmethod
    def send(self, path: Path, key: str) -> None:
        """Store a file that was fetched and changed, or a new one."""

    @abstractmethod
    def replicate(self, path: Path, key: str) -> None:
        """Make the folders in a folder the same as those in a fetched one; a folder there does not change any more."""

    @abstractmethod
    def move_aside(self, name: str) -> str | None:
        """Rename the results by replacing the last part of their path.

        Returns:
            Their new path or URI; None if there are no results.
        """

    def replace(self, key: str, content: bytes, scratch: Path) -> None:
        """Write a small file, replacing an earlier one; on a disk a crash leaves the earlier one.

        Args:
            key: Key of the file.
            content: What it holds.
            scratch: Local folder for files that are uploaded.
        """
        path = self.fetch(key, scratch)
        write_bytes_atomically(path, content)
        self.send(path, key)


@dataclass(frozen=True)
class Disk(Storage):
    """A folder in a file system that every node sees. Moves are renames, and copies are hard links if possible."""

    root: str

    @property
    def arrow(self) -> None:
        return None

    def __str__(self) -> str:
        return self.root

    def folders(self, key: str) -> list[str]:
        return [each.name for each in self._path(key).glob("*") if each.is_dir()]

    def finished_epochs(self, key: str) -> int | None:
        return finished_epochs(self._path(key))

    def copy(self, source: str, target: str) -> None:
        """Atomic: copies beside the target, then renames."""
        there = self._path(target)
        part = there.with_name(f".{there.name}.part")
        for old in (part, there):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self._path(source), part, copy_function=link)
        part.rename(there)

    def move(self, source: str, target: str) -> None:
        self.delete(target)
        self._path(target).parent.mkdir(exist_ok=True)
        self._path(source).rename(self._path(target))

    def delete(self, key: str) -> None:
        shutil.rmtree(self._path(key), ignore_errors=True)

    def fetch(self, key: str, scratch: Path) -> Path:
        return self._path(key)

    def send(self, path: Path, key: str) -> None:
        """Does nothing: on a disk the file was changed in place."""

    def replicate(self, path: Path, key: str) -> None:
        """Does nothing: on a disk it is the same folder."""

    def move_aside(self, name: str) -> str | None:
        here = Path(self.root)
        return str(here.rename(here.with_name(name))) if here.exists() else None

    def _path(self, key: str) -> Path:
        return Path(self.root, key)
