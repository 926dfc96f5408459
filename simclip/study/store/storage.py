"""Where a study's results lie: in a folder that every node sees, or in a bucket, which is any place that fsspec knows.

Driver, trials and Ray Tune all write there. What lies there goes by a key, its path relative to the study's results,
such as models/k2-s1. Each process finds a bucket's address and credentials in its own environment.
"""

from __future__ import annotations

import posixpath
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs

from simclip.runtime.files import link
from simclip.train.history import finished_epochs

#: What others than the driver write.
LOGS = "logs"


class Storage(ABC):
    """Results by key.

    Attributes:
        root: Where they lie on their file system.
    """

    root: str

    @property
    @abstractmethod
    def arrow(self) -> pyarrow.fs.FileSystem | None:
        """The file system of the root, as Ray has it; None for this machine's own."""

    @abstractmethod
    def __str__(self) -> str:
        """Where they lie, as it is typed."""

    @abstractmethod
    def folders(self, key: str) -> list[str]:
        """The names of the folders in a folder."""

    @abstractmethod
    def finished_epochs(self, key: str) -> int | None:
        """How many epochs a checkpoint has behind it; None where there is none, or not all of it."""

    @abstractmethod
    def copy(self, source: str, target: str, only: Sequence[str] | None = None, linked: bool = False) -> None:
        """Replace a folder by a copy of another one.

        Args:
            source: What to copy.
            target: What to replace.
            only: Of the source's folders; by default all that is in it.
            linked: Whether both may be the same bytes on a disk.
        """

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Replace a folder by another one, which is then no longer where it was."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a folder, if it is there."""

    @abstractmethod
    def fetch(self, key: str, scratch: Path) -> Path:
        """The place on this machine where a file or folder can be read, and changed, if it is sent afterwards.

        Args:
            key: What; it may not be there yet.
            scratch: Folder for what has to be copied to this machine.
        """

    @abstractmethod
    def send(self, path: Path, key: str) -> None:
        """Store a file that was fetched and changed."""

    @abstractmethod
    def move_aside(self, name: str) -> str | None:
        """Give all results another last name, if there are any; returns their new place."""

    def key(self, path: str) -> str:
        """The key of what Ray has put somewhere."""
        return posixpath.relpath(path, self.root)


@dataclass(frozen=True)
class Disk(Storage):
    """A folder of a file system that every node sees: renames and second names, never copies of models."""

    root: str

    @property
    def arrow(self) -> None:
        """This machine's own."""
        return

    def __str__(self) -> str:
        return self.root

    def folders(self, key: str) -> list[str]:
        """The names of the folders in a folder."""
        return [each.name for each in self._path(key).glob("*") if each.is_dir()]

    def finished_epochs(self, key: str) -> int | None:
        """How many epochs a checkpoint has behind it."""
        return finished_epochs(self._path(key))

    def copy(self, source: str, target: str, only: Sequence[str] | None = None, linked: bool = False) -> None:
        """Replace a folder by a copy, which is there whole or not at all."""
        there = self._path(target)
        part = there.with_name(f".{there.name}.part")
        for old in (part, there):
            shutil.rmtree(old, ignore_errors=True)
        for name in [""] if only is None else only:
            shutil.copytree(self._path(source) / name, part / name, copy_function=link if linked else shutil.copy2)
        part.rename(there)

    def move(self, source: str, target: str) -> None:
        """Rename a folder."""
        self.delete(target)
        self._path(target).parent.mkdir(exist_ok=True)
        self._path(source).rename(self._path(target))

    def delete(self, key: str) -> None:
        """Delete a folder, if it is there."""
        shutil.rmtree(self._path(key), ignore_errors=True)

    def fetch(self, key: str, scratch: Path) -> Path:
        """The thing itself."""
        return self._path(key)

    def send(self, path: Path, key: str) -> None:
        """Nothing: it is there."""

    def move_aside(self, name: str) -> str | None:
        """Rename the folder, if it is there."""
        here = Path(self.root)
        return str(here.rename(here.with_name(name))) if here.exists() else None

    def _path(self, key: str) -> Path:
        return Path(self.root, key)


def is_uri(place: str | Path) -> bool:
    """Whether results are to lie in a bucket."""
    return "://" in str(place)
