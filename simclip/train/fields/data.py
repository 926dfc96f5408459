"""What a run trains and is evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from simclip.config.schema import Place, field
from simclip.data.table import Reading, Table
from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.evaluation.kinds import AnySet
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.train.fields.group import FieldGroup

#: Prefixes of an epoch's other figures, which no evaluation set may have as its name.
RESERVED_NAMES = ("train", "share")


class DataFields(FieldGroup):
    """The training tables and the evaluation sets.

    `train_tsv` and `val_tsv` are the usual one table each; the lists hold any further ones.
    """

    train_tsv: Place | None = field(
        None, reads_data=True, description="training pairs: TSV, CSV, JSONL, Parquet or tar shards"
    )
    train_image_dir: Path | None = field(
        None, reads_data=True, description="folder of train_tsv's images; default: the table's own"
    )
    train_tables: list[Table] = field([], reads_data=True, description="further training tables")
    val_tsv: Place | None = field(
        None, reads_data=True, description="validation pairs, evaluated as the set named 'val'"
    )
    val_image_dir: Path | None = field(
        None, reads_data=True, description="folder of val_tsv's images; default: the table's own"
    )
    evaluate: list[AnySet] = field([], reads_data=True, description="further evaluation sets")
    image_column: str | None = field(None, reads_data=True, description="default: image, filepath or file_name")
    caption_columns: list[str] | None = field(
        None, reads_data=True, min_length=1,
        description="default: every column whose name starts with 'caption', else title, else text",
    )  # fmt: skip
    bad_images: Literal["error", "skip"] = field(
        "error", reads_data=True, description="skip leaves out images that do not decode; the results have a list"
    )
    exif: Literal["ignore", "apply"] = field(
        "ignore", reads_data=True,
        description="orientation in a picture's EXIF: ignored as in OpenCLIP's evaluation, or applied",
    )  # fmt: skip

    def _check(self) -> None:
        super()._check()
        for tsv, folder in (("train_tsv", "train_image_dir"), ("val_tsv", "val_image_dir")):
            if getattr(self, tsv) is None and getattr(self, folder) is not None:
                raise ValueError(f"{folder} is the folder of {tsv}'s images: give {tsv} too")
        names = [each.name for each in self.evaluation_sets]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"evaluation sets need different names; {', '.join(sorted(doubled))} is used twice")
        if taken := [name for name in names if name in RESERVED_NAMES]:
            raise ValueError(
                f"no evaluation set can be named {taken[0]!r}: the name is reserved for figures of training"
            )

    @property
    def reading(self) -> Reading:
        """How tables are read."""
        return Reading(self.image_column, self.caption_columns, self.bad_images == "skip")

    @property
    def tables(self) -> list[Table]:
        """Every training table, the main one first."""
        if self.train_tsv is None:
            return list(self.train_tables)
        return [Table(tsv=self.train_tsv, image_dir=self.train_image_dir), *self.train_tables]

    @property
    def evaluation_sets(self) -> list[EvaluationSet]:
        """Every evaluation set, `val` first."""
        if self.val_tsv is None:
            return list(self.evaluate)
        return [RetrievalSet(name="val", tsv=self.val_tsv, image_dir=self.val_image_dir), *self.evaluate]
