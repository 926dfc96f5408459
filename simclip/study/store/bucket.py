"""Results in a bucket, and a local copy of their small files.

Every process finds the bucket's address and credentials in its own environment.
"""

from __future__ import annotations

import atexit
import functools
import json
import posixpath
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pyarrow.fs

from simclip.runtime import uris
from simclip.runtime.uris import open_uri
from simclip.study.store import layout
from simclip.study.store.storage import Storage

P = ParamSpec("P")
R = TypeVar("R")

#: The small files from which a study is read and resumed.
READ = (layout.STUDY, layout.TRIALS, layout.INTERPOLATED, layout.LOOKS, layout.BEST, layout.TABLE, layout.RESULTS)


def in_one_line(method: Callable[P, R]) -> Callable[P, R]:
    """Turn any exception of a bucket's library into an InputError of one line; a full disk stays an OSError."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with uris.in_one_line(args[0]):
            return method(*args, **kwargs)

    return wrapped


@dataclass(frozen=True)
class Bucket(Storage):
    """A bucket, or any other place that fsspec can open. Copies within it do not pass through this machine.

    Attributes:
        uri: URI of the results, e.g. s3://bucket/results/demo.
    """

    uri: str

    def __post_init__(self) -> None:
        """Check that the URI holds no secret and that the package for its kind is installed.

        Raises:
            InputError: It holds one, the package is missing, or fsspec does not know this kind of URI.
        """
        open_uri(self.uri)

    def __str__(self) -> str:
        return self.uri

    @property
    def root(self) -> str:  # type: ignore[override]
        """The URI without its scheme."""
        return str(self._opened[1]).rstrip("/")

    @property
    def arrow(self) -> pyarrow.fs.FileSystem:
        """The bucket as a pyarrow file system, which Ray takes."""
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self._opened[0]))

    @in_one_line
    def folders(self, key: str) -> list[str]:
        return sorted({name.partition("/")[0] for name in self._sizes(key) if "/" in name})

    @in_one_line
    def finished_epochs(self, key: str) -> int | None:
        sizes = self._sizes(key)
        try:
            manifest: dict[str, int] = json.loads(self._files.cat_file(self._path(f"{key}/manifest.json")))
            history = json.loads(self._files.cat_file(self._path(f"{key}/history.json")))
        except (FileNotFoundError, ValueError):
            return None
        return int(history[-1]["epoch"]) if all(sizes.get(name) == size for name, size in manifest.items()) else None

    @in_one_line
    def copy(self, source: str, target: str) -> None:
        """Not atomic: a crash leaves a partial copy, which is redone because no record refers to it yet."""
        self.delete(target)
        self._copy(source, self._path(target))

    @in_one_line
    def move(self, source: str, target: str) -> None:
        """Copies, then deletes the source: buckets cannot rename."""
        self.copy(source, target)
        self.delete(source)

    @in_one_line
    def delete(self, key: str) -> None:
        if self._sizes(key):
            self._files.rm(self._path(key), recursive=True)

    @in_one_line
    def fetch(self, key: str, scratch: Path) -> Path:
        """Downloads a copy into the scratch folder, if the key exists."""
        there = self._path(key)
        self._files.invalidate_cache()
        found = self._files.find(there)
        places = [scratch / key / posixpath.relpath(each, there) for each in found]
        for folder in {(scratch / key).parent, *(place.parent for place in places)}:
            folder.mkdir(parents=True, exist_ok=True)
        self._files.get(found, [str(place) for place in places])
        return scratch / key

    @in_one_line
    def send(self, path: Path, key: str) -> None:
        """Atomic where the bucket's library is."""
        self._files.makedirs(posixpath.dirname(self._path(key)), exist_ok=True)
        self._files.put_file(str(path), self._path(key))

    @in_one_line
    def replicate(self, path: Path, key: str) -> None:
        """Sends new folders before it deletes others, so that a crash leaves one that is whole."""
        here, there = {each.name for each in path.glob("*") if each.is_dir()}, set(self.folders(key))
        for name in here - there:
            files = [each for each in (path / name).rglob("*") if each.is_file()]
            targets = [self._path(f"{key}/{each.relative_to(path).as_posix()}") for each in files]
            for folder in {posixpath.dirname(each) for each in targets}:
                self._files.makedirs(folder, exist_ok=True)
            self._files.put([str(each) for each in files], targets)
        for name in there - here:
            self.delete(f"{key}/{name}")

    @in_one_line
    def move_aside(self, name: str) -> str | None:
        """Copies everything, then deletes the source."""
        if not self._sizes(""):
            return None
        aside = Bucket(f"{self.uri.rstrip('/').rpartition('/')[0]}/{name}")
        self._copy("", aside.root)
        self.delete("")
        return aside.uri

    def _copy(self, source: str, target: str) -> None:
        names = [*self._sizes(source)]
        targets = [f"{target}/{name}" for name in names]
        for folder in {posixpath.dirname(each) for each in targets}:
            self._files.makedirs(folder, exist_ok=True)
        self._files.copy([self._path(f"{source}/{name}") for name in names], targets)

    def _sizes(self, key: str) -> dict[str, int]:
        """The sizes of all files in a folder, in bytes, by their path in it."""
        self._files.invalidate_cache()  # other processes write there too
        found = self._files.find(self._path(key), detail=True)
        return {posixpath.relpath(path, self._path(key)): int(each["size"]) for path, each in found.items()}

    def _path(self, key: str) -> str:
        return posixpath.normpath(f"{self.root}/{key}")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @functools.cached_property
    def _opened(self) -> tuple[Any, str]:
        return open_uri(self.uri)


class Mirror:
    """A local copy of the small files of results in a bucket: read and changed here, then sent back.

    The bucket is authoritative. The local folder is new in every process and is deleted when the process ends.

    Attributes:
        bucket: The bucket.
        path: The local folder.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.path = Path(tempfile.mkdtemp(prefix="simclip-results-"))
        self._known: dict[Path, tuple[int, int]] = {}
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)

    def pull(self) -> None:
        """Replace the local files by those in the bucket."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        for key in READ:
            self.bucket.fetch(key, self.path)
        self._known = self._stamps()

    def push(self) -> None:
        """Send the files that have changed since the last pull or push."""
        now = self._stamps()
        for path in [path for path, stamp in now.items() if self._known.get(path) != stamp]:
            self.bucket.send(path, path.relative_to(self.path).as_posix())
        self._known = now

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """Modification time in ns and size of every file except logs, which the trials send themselves."""
        paths = [path for path in self.path.rglob("[!.]*") if path.is_file() and not path.is_symlink()]
        ours = [path for path in paths if path.relative_to(self.path).parts[0] != layout.LOGS]
        return {path: ((stat := path.stat()).st_mtime_ns, stat.st_size) for path in ours}
