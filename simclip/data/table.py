"""Table: the schema of a training table."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from simclip.config.schema import Strict


class Table(Strict):
    """A TSV of image-caption pairs, and the folder of its images."""

    tsv: Path
    image_dir: Path
    repeat: int = Field(1, ge=1, description="how often each row occurs in the training set")
    limit: int | None = Field(None, ge=1, description="only the first images of the table")
