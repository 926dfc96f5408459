"""Formats of image-caption pairs, one module with one class each. A module that is added here is a new format."""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import closing
from pathlib import Path

from simclip.data.sources.places import METADATA, files_of
from simclip.data.sources.source import File, Rows, Source
from simclip.data.sources.tsv import Tsv
from simclip.data.table import Reading
from simclip.errors import InputError
from simclip.runtime.progress import with_progress
from simclip.runtime.threads import in_threads

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

#: The format of each suffix; a file of any other suffix is a TSV.
SOURCES = {suffix: kind() for kind in Source.__subclasses__() for suffix in kind.suffixes}
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")


def read_files(place: Path | str, reading: Reading) -> list[tuple[File, Rows]]:
    """Read every file that a place in a study stands for.

    Raises:
        InputError: A file is missing, compressed or malformed.
    """
    files = files_of(place)
    for file in files:
        if file.path.suffix.lower() in COMPRESSED:
            raise InputError(f"{file.title} is compressed, so that no row can be read by its place: decompress it")
        if not file.path.is_file() and source_of(file.path) is not SOURCES[".tsv"]:
            raise InputError(f"no such file: {file.title}")
    with closing(in_threads(lambda n: source_of(files[n].path).read(files[n], reading), len(files))) as rows:
        return list(zip(files, with_progress(rows, "reading tables", len(files), 0, 1), strict=True))


def source_of(path: Path) -> Source:
    """The format of a file, by its suffix."""
    return SOURCES.get(path.suffix.lower(), SOURCES[Tsv.suffixes[0]])


def is_table(place: str) -> bool:
    """Whether a place has the name of a table, or is a folder with one."""
    return Path(place).suffix.lower() in SOURCES or any((Path(place) / name).is_file() for name in METADATA)
