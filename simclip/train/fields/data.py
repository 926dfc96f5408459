"""What a run trains and is evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from simclip.config.schema import field
from simclip.data.table import Table
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

    train_tsv: Path | None = field(
        None, reads_data=True, description="training pairs: columns image, caption1, caption2, ..."
    )
    train_image_dir: Path | None = field(None, reads_data=True, description="folder of train_tsv's images")
    train_tables: list[Table] = field([], reads_data=True, description="further training tables")
    val_tsv: Path | None = field(
        None, reads_data=True, description="validation pairs, evaluated as the set named 'val'"
    )
    val_image_dir: Path | None = field(None, reads_data=True, description="folder of val_tsv's images")
    evaluate: list[AnySet] = field([], reads_data=True, description="further evaluation sets")
    caption_columns: list[str] | None = field(
        None, reads_data=True, min_length=1, description="default: every column whose name starts with 'caption'"
    )
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
            if (getattr(self, tsv) is None) != (getattr(self, folder) is None):
                raise ValueError(f"{tsv} and {folder} go together: give both or neither")
        names = [each.name for each in self.evaluation_sets]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"evaluation sets need different names; {', '.join(sorted(doubled))} is used twice")
        if taken := [name for name in names if name in RESERVED_NAMES]:
            raise ValueError(
                f"no evaluation set can be named {taken[0]!r}: the name is reserved for figures of training"
            )

    @property
    def tables(self) -> list[Table]:
        """Every training table, the main one first."""
        if self.train_tsv is None or self.train_image_dir is None:
            return list(self.train_tables)
        return [Table(tsv=self.train_tsv, image_dir=self.train_image_dir), *self.train_tables]

    @property
    def evaluation_sets(self) -> list[EvaluationSet]:
        """Every evaluation set, `val` first."""
        if self.val_tsv is None or self.val_image_dir is None:
            return list(self.evaluate)
        return [RetrievalSet(name="val", tsv=self.val_tsv, image_dir=self.val_image_dir), *self.evaluate]
