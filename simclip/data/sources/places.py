"""Which files a study means: paths, braces and globs, folders of Hugging Face's layout, and URIs."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from simclip.config.uris import is_uri
from simclip.data.sources.source import File
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder, fingerprint, one_process
from simclip.runtime.progress import with_progress
from simclip.runtime.threads import in_threads
from simclip.runtime.uris import in_one_line, open_uri

#: {00000..00331} or {train,val}.
BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
#: Maximum number of files that braces may stand for.
MOST = 100_000
#: Tables of pictures that lie in the same folder, as Hugging Face's datasets reads them.
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
#: What a bucket says about a version of a file, of which the first that is there counts: a list may say less.
VERSION = ("ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "mtime", "updated")


def files_of(place: Path | str) -> list[File]:
    """The files that a place in a study stands for, in the order of their braces, or else sorted.

    Files at URIs are copied into the cache, once per node and version.

    Raises:
        InputError: There is no such file.
    """
    if is_uri(place):
        return _copies(str(place))
    path = Path(place)
    if path.is_dir():
        inside = [path / name for name in METADATA if (path / name).is_file()]
        if not inside:
            raise InputError(f"{path} is a folder without {', '.join(METADATA)}: name its files, e.g. {path}/*.parquet")
        return [File(inside[0], str(inside[0]))]
    if path.exists():
        return [File(path, str(path))]
    names = [name for each in _braces(str(path)) for name in _globbed(each)]
    return [File(Path(name), name) for name in names]


def _globbed(name: str) -> list[str]:
    if not glob.has_magic(name) or os.path.exists(name):
        return [name]
    if found := sorted(glob.glob(name, recursive=True)):
        return found
    raise InputError(f"no file matches {name}")


def _braces(text: str) -> Iterator[str]:
    """The texts that braces stand for, as in a shell; leading zeros are kept."""
    found = BRACES.search(text)
    if found is None:
        yield text
        return
    first, last, words = found.groups()
    if words is None and not 0 <= int(last) - int(first) < MOST:
        raise InputError(f"{text}: {found[0]} stands for no file, or for more than {MOST:,}")
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)) if words is None else ()
    for each in words.split(",") if words is not None else numbers:
        yield from _braces(text[: found.start()] + each + text[found.end() :])


def _copies(uri: str) -> list[File]:
    """Copies of the files of a URI."""
    files, _ = open_uri(uri)
    with in_one_line(uri):
        found: dict[str, dict[str, Any]] = {}
        for each in _braces(uri):
            path = open_uri(each)[1]
            found |= dict(sorted(files.glob(path, detail=True).items())) if glob.has_magic(path) else {
                path: files.info(path)}  # fmt: skip
    if not found:
        raise InputError(f"no file matches {uri}")
    copies = [_Copy(files, path, info) for path, info in found.items()]
    missing = [each for each in copies if not each.is_whole]
    needed, folder = sum(each.size for each in missing), cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise InputError(
            f"{uri}: a copy in {folder} takes {needed / 1e9:.3g} GB, but only {free / 1e9:.3g} GB are free: make room, "
            "or set SIMCLIP_CACHE to a folder on a larger disk"
        )
    with closing(in_threads(lambda number: missing[number].make(), len(missing))) as steps:
        for _ in with_progress(steps, f"copying {uri}", len(missing), 0, 1):
            pass
    return [File(each.path, each.title) for each in copies]


class _Copy:
    """A copy of a bucket's file in the cache, named by the URI and what the bucket says about the file's version."""

    def __init__(self, files: Any, source: str, info: dict[str, Any]) -> None:
        self._files, self._source = files, source
        self.title, self.size = str(files.unstrip_protocol(source)), int(info.get("size") or 0)
        version = repr((self.size, next((info[name] for name in VERSION if info.get(name)), None)))
        key = fingerprint(self.title.encode(), version.encode())
        self.path = cache_folder() / f"copy-{key}{Path(source).suffix}"

    @property
    def is_whole(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == self.size

    def make(self) -> None:
        """Copy the file, unless another process does or has done it."""
        with one_process(self.path, f"the copy of {self.title}"), in_one_line(self.title):
            if self.is_whole:
                return
            part = self.path.with_suffix(".part")
            self._files.get_file(self._source, str(part))
            if (size := part.stat().st_size) != self.size:
                raise InputError(
                    f"{self.title} has {self.size} bytes, of which {size} came: run the same command again"
                )
            part.rename(self.path)
