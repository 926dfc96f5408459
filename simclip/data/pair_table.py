"""CaptionTable: image paths and captions from TSV files, in flat arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from simclip.data.placeholder import refuse_placeholder
from simclip.data.table import Table
from simclip.errors import InputError
from simclip.runtime.files import cache_folder, write_atomically


@dataclass(frozen=True)
class CaptionTable:
    """Rows, each of an image and one or more captions.

    Attributes:
        images: Path of each row's image.
        captions: All captions, row after row.
        starts: int64 [rows + 1]; the captions of row r are captions[starts[r]:starts[r + 1]].
        notes: A line about each file whose rows were merged.
    """

    images: list[Path]
    captions: list[str]
    starts: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def row_of_caption(self) -> np.ndarray:
        """The row of each caption, int64 [captions]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def select(self, rows: np.ndarray) -> CaptionTable:
        """A table of the given rows, in that order; rows may repeat."""
        return self._joined([[row] for row in rows])

    def merged(self, source: str) -> CaptionTable:
        """One row per image, where it first occurs, with the captions of all its rows in their order.

        Args:
            source: What the rows come from, for the note that is added if an image has several rows.
        """
        groups: dict[Path, list[int]] = {}
        for row, image in enumerate(self.images):
            groups.setdefault(image, []).append(row)
        if len(groups) == len(self):
            return self
        note = f"{source}: {len(self):,} rows name {len(groups):,} images; the captions of each image are merged"
        return replace(self._joined(list(groups.values())), notes=(*self.notes, note))

    def _joined(self, groups: Sequence[Sequence[int] | np.ndarray]) -> CaptionTable:
        """A table with a row per group of rows: the image of the first, and the captions of all."""
        spans = [[(self.starts[row], self.starts[row + 1]) for row in rows] for rows in groups]
        captions = [caption for those in spans for begin, end in those for caption in self.captions[begin:end]]
        counts = [sum(end - begin for begin, end in those) for those in spans]
        return replace(
            self, images=[self.images[rows[0]] for rows in groups], captions=captions, starts=offsets(counts)
        )


def offsets(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """The start of each of several consecutive groups, and the end of the last, int64 [len(counts) + 1]."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def read_training_tables(tables: Sequence[Table], caption_columns: Sequence[str] | None = None) -> CaptionTable:
    """Read training tables into one, each cut to its limit and repeated.

    An image of several tables has its row in the first of them, with the captions of all.

    Raises:
        InputError: There is no table, or one is wrong (see `read_table`).
    """
    if not tables:
        raise InputError("no training data: set train.train_tsv and train.train_image_dir (or train.train_tables)")
    parts = [read_table(table.tsv, table.image_dir, caption_columns) for table in tables]
    parts = [part.select(np.arange(len(part))[: table.limit]) for part, table in zip(parts, tables, strict=True)]
    joined = _concatenated(parts).merged("the training tables together")
    first = {image: number for number, part in reversed([*enumerate(parts)]) for image in part.images}
    home = np.array([first[image] for image in joined.images])
    return joined.select(
        np.concatenate([np.tile(np.flatnonzero(home == number), table.repeat) for number, table in enumerate(tables)])
    )


def _concatenated(parts: Sequence[CaptionTable]) -> CaptionTable:
    return CaptionTable(
        images=[image for part in parts for image in part.images],
        captions=[caption for part in parts for caption in part.captions],
        starts=offsets(np.concatenate([np.diff(part.starts) for part in parts])),
        notes=tuple(note for part in parts for note in part.notes),
    )


def read_table(tsv: Path, image_dir: Path, caption_columns: Sequence[str] | None = None) -> CaptionTable:
    """Read a TSV: a header, then an image name and its captions in each line.

    Fields are read literally: quotes are text, and so are "None" and "NA". Empty caption fields are skipped. Lines that
    repeat an image are merged into one row, which has all of their captions.

    Args:
        tsv: UTF-8 file with the columns `image` and caption1, caption2, ... (any number).
        image_dir: Folder that the image names are relative to.
        caption_columns: Columns that hold captions; by default all whose names start with "caption".

    Raises:
        InputError: The file or a column is missing, a line is malformed, an image is missing or outside its folder.
    """
    frame = read_tsv(tsv)
    columns = _caption_columns(tsv, list(frame.columns), caption_columns)
    lines = [number + 2 for number in frame.index]
    captions_of_row = [[text for text in row if text] for row in frame[columns].itertuples(index=False)]
    for line, captions in zip(lines, captions_of_row, strict=True):
        if not captions:
            where = f"column {columns[0]} is" if len(columns) == 1 else f"columns {', '.join(columns)} are"
            raise InputError(f"{tsv}, line {line}: the {where} empty; write a caption or remove the line")
    images = image_paths(tsv, list(frame["image"]), image_dir, lambda row: f"line {lines[row]}")
    flat = [caption for captions in captions_of_row for caption in captions]
    table = CaptionTable(images, flat, offsets([len(captions) for captions in captions_of_row]))
    return table.merged(str(tsv))


def read_captions(tsv: Path, caption_columns: Sequence[str] | None = None) -> list[str]:
    """Read all captions of a TSV; its images need not exist.

    Raises:
        InputError: The file or its columns are wrong (see `read_table`).
    """
    frame = read_tsv(tsv)
    columns = _caption_columns(tsv, list(frame.columns), caption_columns)
    return [text for row in frame[columns].itertuples(index=False) for text in row if text]


def read_tsv(tsv: Path, columns: str = "image, caption1, ...") -> pd.DataFrame:
    """Read the fields of a TSV literally, without surrounding spaces and empty lines.

    Args:
        tsv: UTF-8 file with a header.
        columns: The expected columns, for error messages.

    Returns:
        Strings; the index counts lines, from 0 for line 2.

    Raises:
        InputError: The file is missing or malformed, or has no column `image`.
    """
    if not tsv.is_file():
        raise InputError(f"no such TSV file: {tsv}; give the path of a file with the columns {columns}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a first row that is too long would be cut
            frame = pd.read_csv(
                tsv,
                sep="\t",
                quoting=3,  # csv.QUOTE_NONE: a stray quote must not merge rows
                na_filter=False,
                dtype=str,
                encoding="utf-8-sig",
                index_col=False,
                skip_blank_lines=False,  # so that the index counts lines
            )
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{tsv} is empty: expected a header with {columns} and a line per pair") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{tsv} is not UTF-8 text ({error.reason} at byte {error.start}): convert it") from error
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"{tsv}, line 2: more fields than the header has names; a field may not contain a tab: fix that line"
        ) from error
    except pd.errors.ParserError as error:
        problem = str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{tsv}: {problem}; a field may not contain a tab: fix that line") from error
    frame = frame.fillna("").apply(lambda column: column.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise InputError(f"{tsv} has a header but no rows: expected a line per pair")
    if "image" not in frame.columns:
        if len(frame.columns) == 1 and any(mark in frame.columns[0] for mark in ",;|"):
            raise InputError(f"{tsv}: its header {frame.columns[0]!r} has no tab: separate the fields by tabs")
        raise InputError(f"{tsv} has no column 'image' but {', '.join(frame.columns)}: name it in the first line")
    refuse_placeholder(tsv)
    return frame


def _caption_columns(tsv: Path, present: list[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        columns = [name for name in present if name.startswith("caption")]
        if not columns:
            raise InputError(f"{tsv} has no caption column but {', '.join(present)}: name them caption1, caption2, ...")
        return columns
    if absent := [name for name in wanted if name not in present]:
        raise InputError(f"{tsv} has no column {', '.join(absent)} but {', '.join(present)}: fix train.caption_columns")
    return list(wanted)


def image_paths(source: Path, names: list[str], image_dir: Path, place: Callable[[int], str]) -> list[Path]:
    """Check and join the paths of a table's images.

    Args:
        source: The table, for error messages.
        names: Image of each row, relative to `image_dir`.
        image_dir: Folder of the images.
        place: Describes where a row is in the file, e.g. "line 7".

    Raises:
        InputError: The folder or an image is missing, or a name is empty or leads out of the folder.
    """
    if not image_dir.is_dir():
        raise InputError(f"no such image folder: {image_dir} (for {source})")
    for row, name in enumerate(names):
        if not name:
            raise InputError(
                f"{source}, {place(row)}: the image name is empty; write one or remove the {place(row).split()[0]}"
            )
        if os.path.isabs(name) or ".." in name.split("/"):  # many times faster than pathlib
            raise InputError(
                f"{source}, {place(row)}: image {name!r} leaves its folder {image_dir}; use a path inside it"
            )
    paths = [image_dir / name for name in names]
    if missing := [name for name, path in zip(names, paths, strict=True) if not os.path.isfile(path)]:
        raise InputError(f"{source}: {len(missing)} of {len(names)} images are not in {image_dir}: {_listed(missing)}")
    return paths


def _listed(names: list[str], most: int = 10) -> str:
    """Join names to one line; a long list is also written to a file, which the line names."""
    if len(names) <= most:
        return ", ".join(names)
    file = cache_folder() / "missing-images.txt"
    write_atomically(file, "\n".join(names) + "\n")
    return f"{', '.join(names[:most])}, ... (all of them in {file})"


def read_rows(tsv: Path) -> list[tuple[str, list[str]]]:
    """Read the image names of a TSV and their captions; the images need not exist.

    Raises:
        InputError: The file or its columns are wrong (see `read_table`).
    """
    frame = read_tsv(tsv)
    columns = _caption_columns(tsv, list(frame.columns), None)
    captions = [[text for text in row if text] for row in frame[columns].itertuples(index=False)]
    return list(zip(frame["image"], captions, strict=True))


def read_names(tsv: Path) -> list[str]:
    """Read the image names of a TSV; other columns are ignored.

    Raises:
        InputError: The file is wrong or has no column `image`.
    """
    return list(read_tsv(tsv)["image"])


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
