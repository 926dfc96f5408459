"""Table: the schema of a training table; and which of its columns are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from simclip.config.schema import Place, Strict


class Table(Strict):
    """A table of image-caption pairs in any format, and the folder of its images."""

    tsv: Place = Field(description="TSV, CSV, JSONL, Parquet or tar shards; a path, a glob, braces or a URI")
    image_dir: Path | None = Field(None, description="default: the table's own folder; not used by shards")
    repeat: int = Field(1, ge=1, description="how often each row occurs in the training set")
    limit: int | None = Field(None, ge=1, description="only the first images of the table")


class Reading(NamedTuple):
    """How tables are read.

    Attributes:
        image_column: Column of the pictures; by default image, filepath or file_name.
        caption_columns: Columns of captions; by default all whose names start with "caption", else title, else text.
        skip_bad: Whether pairs of a shard that lack a picture or a caption are left out instead of refused.
    """

    image_column: str | None = None
    caption_columns: Sequence[str] | None = None
    skip_bad: bool = False


#: The columns that are known by name.
KNOWN = Reading()
