"""TSV: a header, then an image name and its captions in each line; fields are taken literally."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from simclip.data.placeholder import refuse_placeholder
from simclip.data.sources.source import File, Rows, Source, caption_columns, image_column
from simclip.data.table import Reading
from simclip.errors import InputError

#: First bytes of compressed files: gzip, bzip2, xz, zstandard, zip.
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")


class Tsv(Source):
    """Fields separated by tabs, without quoting."""

    suffixes = (".tsv",)

    def read(self, file: File, reading: Reading) -> Rows:
        """See `Source.read`."""
        frame = read_tsv(file.path)
        return rows_of(file.title, frame, reading, "line", 2)


def rows_of(title: str, frame: pd.DataFrame, reading: Reading, unit: str, first: int) -> Rows:
    """The rows of a table of texts.

    Args:
        title: The file, for messages.
        frame: Texts, with an index that counts from 0.
        reading: Which columns to read.
        unit: What the index counts, such as "line".
        first: The number of the first one.
    """
    image = image_column(title, list(frame.columns), reading.image_column)
    columns = caption_columns(title, list(frame.columns), reading.caption_columns)
    texts = [[text for text in row if text] for row in frame[columns].itertuples(index=False)]
    return Rows(
        images=list(frame[image]),
        captions=[text for those in texts for text in those],
        counts=np.array([len(those) for those in texts]),
        place=lambda row: f"{unit} {frame.index[row] + first}",
        columns=columns,
    )


def read_tsv(tsv: Path, columns: str = "image, caption1, ...") -> pd.DataFrame:
    """Read the fields of a TSV literally, without surrounding spaces and empty lines.

    Args:
        tsv: UTF-8 file with a header.
        columns: The expected columns, for error messages.

    Returns:
        Strings; the index counts lines, from 0 for line 2.

    Raises:
        InputError: The file is missing or malformed.
    """
    if not tsv.is_file():
        raise InputError(f"no such TSV file: {tsv}; give the path of a file with the columns {columns}")
    frame = read_fields(tsv, str(tsv), "\t", csv.QUOTE_NONE, columns)  # a stray quote must not merge rows
    names = list(frame.columns)
    if len(names) == 1 and any(mark in names[0] for mark in ",;|"):
        raise InputError(f"{tsv}: its header {names[0]!r} has no tab: separate the fields by tabs")
    refuse_placeholder(tsv)
    return frame


def read_fields(path: Path, title: str, separator: str, quoting: int, columns: str) -> pd.DataFrame:
    """Read a text table.

    Args:
        path: UTF-8 file with a header.
        title: The file, for messages.
        separator: What separates fields.
        quoting: How fields are quoted, as the module csv names it.
        columns: The expected columns, for error messages.

    Returns:
        Strings without surrounding spaces; the index counts rows, empty ones included, which are dropped.

    Raises:
        InputError: The file is malformed.
    """
    rule = "a field may not contain a tab" if separator == "\t" else "a comma in a field needs quotes around it"
    advice = f"{rule}: fix that line"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a first row that is too long would be cut
            frame = pd.read_csv(
                path,
                sep=separator,
                quoting=quoting,
                na_filter=False,
                dtype=str,
                encoding="utf-8-sig",
                index_col=False,
                compression=None,  # a few compressed bytes can stand for more text than there is memory
                skip_blank_lines=False,  # so that the index counts lines
            )
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{title} is empty: expected a header with {columns} and a line per pair") from error
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            packed = file.read(6).startswith(PACKED)
        if packed:
            raise InputError(f"{title} is compressed: decompress it") from error
        raise InputError(f"{title} is not UTF-8 text ({error.reason} at byte {error.start}): convert it") from error
    except pd.errors.ParserWarning as error:
        raise InputError(f"{title}, line 2: more fields than the header has names; {advice}") from error
    except pd.errors.ParserError as error:
        problem = str(error).strip().splitlines()[-1].removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{title}: {problem}; {advice}") from error
    frame = frame.fillna("").apply(lambda column: column.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise InputError(f"{title} has a header but no rows: expected a line per pair")
    return frame
