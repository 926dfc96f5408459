"""Source: the interface that every data format implements, and which columns hold pictures and captions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from simclip.data.members import Members
from simclip.data.table import Reading
from simclip.errors import InputError

#: Columns of pictures that are known by name: ours, OpenCLIP's and Hugging Face's.
IMAGE_COLUMNS = ("image", "filepath", "file_name")
#: Columns of captions that are known by name, where no column's name starts with "caption".
CAPTION_COLUMNS = ("title", "text")


class File(NamedTuple):
    """A file to read.

    Attributes:
        path: The file on this machine.
        title: The file in messages: its path as given, or its URI if `path` is a copy.
    """

    path: Path
    title: str


@dataclass(frozen=True)
class Rows:
    """The rows of one file.

    Attributes:
        images: The name of each row's picture, relative to an image folder; or the pictures, if the file holds them.
        captions: All captions, row after row; none is empty.
        counts: int64 [rows], the number of each row's captions.
        place: Describes where a row is in the file, e.g. "line 7".
        columns: The columns that captions come from, for messages.
        left_out: Why pairs of a shard are left out, by the shard and key.
    """

    images: Sequence[str] | Members
    captions: list[str]
    counts: np.ndarray
    place: Callable[[int], str]
    columns: Sequence[str]
    left_out: Mapping[str, str] = field(default_factory=dict)


class Source(ABC):
    """A format of image-caption pairs."""

    #: Endings of its files, such as ".csv".
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, file: File, reading: Reading) -> Rows:
        """Read the captions of a file and where its pictures are; no picture is read.

        Raises:
            InputError: The file is missing or malformed, or has no such column.
        """


def image_column(title: str, present: Sequence[str], wanted: str | None) -> str:
    """The column of the pictures.

    Raises:
        InputError: There is none.
    """
    if wanted is not None and wanted not in present:
        raise InputError(f"{title} has no column {wanted} but {', '.join(present)}: fix train.image_column")
    column = wanted or next((name for name in IMAGE_COLUMNS if name in present), None)
    if column is None:
        raise InputError(
            f"{title} has no column 'image' but {', '.join(present)}: name it in the first line, or set "
            "train.image_column"
        )
    return column


def caption_columns(title: str, present: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The columns of captions.

    Raises:
        InputError: There is none, or one that was asked for is missing.
    """
    if wanted is not None:
        if absent := [name for name in wanted if name not in present]:
            raise InputError(
                f"{title} has no column {', '.join(absent)} but {', '.join(present)}: fix train.caption_columns"
            )
        return list(wanted)
    columns = [name for name in present if name.startswith("caption")]
    columns = columns or [name for name in CAPTION_COLUMNS if name in present][:1]
    if not columns:
        raise InputError(f"{title} has no caption column but {', '.join(present)}: name them caption1, caption2, ...")
    return columns


def texts_of(values: Sequence[Any]) -> list[str]:
    """The captions in the fields of a row, each a text, a list of texts or nothing.

    Raises:
        ValueError: A field is something else.
    """
    texts = []
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            if text is not None and not isinstance(text, str):
                raise ValueError(f"is {text!r:.60}, not a text or a list of texts")
            if text and (stripped := text.strip()):
                texts.append(stripped)
    return texts
