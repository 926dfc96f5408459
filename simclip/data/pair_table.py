"""CaptionTable: pictures and captions from tables of any format, in flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from simclip.data.image_folder import image_paths
from simclip.data.members import Members, joined, numbered, taken
from simclip.data.picture import Picture
from simclip.data.sources import File, Rows, read_files
from simclip.data.table import KNOWN, Reading, Table
from simclip.errors import InputError

#: What to do about images that are not beside their table, where no image folder was given.
OWN_FOLDER = "the table's own folder; name theirs with --images (check), --image-dir (clusters) or train_image_dir"


@dataclass(frozen=True)
class CaptionTable:
    """Rows, each of an image and one or more captions.

    Attributes:
        images: Each row's image.
        captions: All captions, row after row.
        starts: int64 [rows + 1]; the captions of row r are captions[starts[r]:starts[r + 1]].
        notes: A line about each table whose rows were merged or left out.
        left_out: Why pairs of shards were left out, by the shard and key.
    """

    images: Sequence[Picture]
    captions: list[str]
    starts: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def row_of_caption(self) -> np.ndarray:
        """The row of each caption, int64 [captions]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def select(self, rows: np.ndarray) -> CaptionTable:
        """A table of the given rows, in that order; rows may repeat."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return self._joined([[row] for row in rows])

    def merged(self, source: str) -> CaptionTable:
        """One row per image, where it first occurs, with the captions of all its rows in their order.

        Args:
            source: What the rows come from, for the note that is added if an image has several rows.
        """
        images, number = numbered(self.images)
        if len(images) == len(self):
            return self
        groups: list[list[int]] = [[] for _ in images]
        for row, each in enumerate(number.tolist()):
            groups[each].append(row)
        note = f"{source}: {len(self):,} rows name {len(images):,} images; the captions of each image are merged"
        return replace(self._joined(groups), notes=(*self.notes, note))

    def _joined(self, groups: Sequence[Sequence[int] | np.ndarray]) -> CaptionTable:
        """A table with a row per group of rows: the image of the first, and the captions of all."""
        spans = [[(self.starts[row], self.starts[row + 1]) for row in rows] for rows in groups]
        captions = [caption for those in spans for begin, end in those for caption in self.captions[begin:end]]
        counts = [sum(end - begin for begin, end in those) for those in spans]
        return replace(
            self, images=taken(self.images, [rows[0] for rows in groups]), captions=captions, starts=offsets(counts)
        )


def offsets(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """The start of each of several consecutive groups, and the end of the last, int64 [len(counts) + 1]."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def read_training_tables(tables: Sequence[Table], reading: Reading = KNOWN) -> CaptionTable:
    """Read training tables into one, each cut to its limit and repeated.

    An image of several tables has its row in the first of them, with the captions of all.

    Raises:
        InputError: There is no table, or one is wrong (see `read_table`).
    """
    if not tables:
        raise InputError("no training data: set train.train_tsv and train.train_image_dir (or train.train_tables)")
    parts = [read_table(table.tsv, table.image_dir, reading) for table in tables]
    parts = [part.select(np.arange(len(part))[: table.limit]) for part, table in zip(parts, tables, strict=True)]
    together = _concatenated(parts)
    images, number = numbered(together.images)
    home = np.empty(len(images), dtype=np.int64)
    home[number[::-1]] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])[::-1]  # the first one stays
    order = [np.tile(np.flatnonzero(home == each), table.repeat) for each, table in enumerate(tables)]
    return together.merged("the training tables together").select(np.concatenate(order))


def _concatenated(parts: Sequence[CaptionTable]) -> CaptionTable:
    if len(parts) == 1:
        return parts[0]
    return CaptionTable(
        images=joined([part.images for part in parts]),
        captions=[caption for part in parts for caption in part.captions],
        starts=offsets(np.concatenate([np.diff(part.starts) for part in parts])),
        notes=tuple(note for part in parts for note in part.notes),
        left_out={place: why for part in parts for place, why in part.left_out.items()},
    )


def read_table(place: Path | str, image_dir: Path | None = None, reading: Reading = KNOWN) -> CaptionTable:
    """Read a table of any format: TSV, CSV, JSONL, Parquet or tar shards, one file or many.

    Empty captions are skipped. Rows that repeat an image are merged into one, which has all of their captions.

    Args:
        place: Path, glob, braces or URI of the files, or a folder with metadata.jsonl (see `files_of`).
        image_dir: Folder that the names of images are relative to; by default the table's own. Not used where the
            files hold the pictures.
        reading: Which columns to read; by default those that are known by name.

    Raises:
        InputError: The file or a column is missing, a row is malformed, an image is missing or outside its folder.
    """
    parts = [_table(file, rows, image_dir) for file, rows in read_files(place, reading)]
    table = _concatenated(parts)
    if table.left_out:
        first, why = next(iter(table.left_out.items()))
        note = f"{place}: {len(table.left_out):,} pairs left out (train.bad_images=skip), the first {first}: {why}"
        table = replace(table, notes=(*table.notes, note))
    return table.merged(str(place))


def _table(file: File, rows: Rows, image_dir: Path | None) -> CaptionTable:
    if (rows.counts == 0).any():
        place = rows.place(int(np.flatnonzero(rows.counts == 0)[0]))
        names = list(rows.columns)
        where = f"column {names[0]} is" if len(names) == 1 else f"columns {', '.join(names)} are"
        raise InputError(f"{file.title}, {place}: the {where} empty; write a caption or remove the {place.split()[0]}")
    images: Sequence[Picture]
    if isinstance(rows.images, Members):
        images = rows.images
    else:
        remedy = "" if image_dir else OWN_FOLDER
        images = image_paths(file.title, rows.images, image_dir or file.path.parent, rows.place, remedy)
    return CaptionTable(images, rows.captions, offsets(rows.counts), left_out=rows.left_out)


def read_captions(place: Path | str, reading: Reading = KNOWN) -> list[str]:
    """Read all captions of a table; its images need not exist.

    Raises:
        InputError: The file or its columns are wrong (see `read_table`).
    """
    return [caption for _, rows in read_files(place, reading) for caption in rows.captions]


def read_rows(place: Path | str, image_dir: Path) -> list[tuple[str, list[str]]]:
    """Read the image names of a table, relative to the image folder, and their captions; the images need not exist.

    Raises:
        InputError: The file or its columns are wrong (see `read_table`), or a shard is not in the image folder.
    """
    return [row for file, rows in read_files(place, KNOWN) for row in _named(file, rows, image_dir)]


def read_names(place: Path | str) -> list[str]:
    """Read the image names of a table; those in shards begin with the name of the shard.

    Raises:
        InputError: The file or its columns are wrong (see `read_table`).
    """
    tables = read_files(place, Reading(skip_bad=True))
    return [name for file, rows in tables for name, _ in _named(file, rows, file.path.parent)]


def _named(file: File, rows: Rows, image_dir: Path) -> list[tuple[str, list[str]]]:
    names = rows.images
    if isinstance(names, Members):
        shard, folder = file.path.absolute(), image_dir.absolute()
        if not shard.is_relative_to(folder):
            raise InputError(
                f"{file.title} is not in {folder}: give the folder of the shards, which the new table names"
            )
        names = [f"{shard.relative_to(folder).as_posix()}/{key}" for key in names.keys.to_pylist()]
    starts = offsets(rows.counts)
    return [(name, rows.captions[starts[row] : starts[row + 1]]) for row, name in enumerate(names)]


def check_rows(rows: int, batch_size: int) -> None:
    """Refuse a training set that does not fill a batch.

    Raises:
        InputError: It has fewer rows than a batch.
    """
    if rows < batch_size:
        raise InputError(
            f"the training set has {rows} rows, fewer than batch_size {batch_size}: "
            "give more pairs or a smaller batch_size"
        )
