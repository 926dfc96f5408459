"""The images that an evaluation set reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simclip.config.training import EvaluationSet, PairsSet, RetrievalSet
from simclip.data.pair_table import read_table
from simclip.evaluation.sets import class_folders, read_pairs


def images_of(source: EvaluationSet, caption_columns: Sequence[str] | None = None) -> list[Path]:
    """The images of a set, each looked for.

    Raises:
        InputError: A file, folder or image is missing or wrong.
    """
    if isinstance(source, RetrievalSet):
        return read_table(source.tsv, source.image_dir, caption_columns).images
    if isinstance(source, PairsSet):
        return list(dict.fromkeys(read_pairs(source).images))
    return [path for folder in class_folders(source).values() for path in folder]
