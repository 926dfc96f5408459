"""The training pairs of a run, and the batches that a plan makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from simclip.cache import cached_array, file_stamps, fingerprint
from simclip.config import TrainConfig
from simclip.data.augment import random_crops
from simclip.data.captions import CaptionTable, read_training_tables
from simclip.data.images import ImageFiles, centre_crop, load_batches, squash
from simclip.data.tokens import Tokens, tokenise
from simclip.errors import InputError
from simclip.model import Clip
from simclip.randomness import row_uniforms


@dataclass(frozen=True)
class Batch:
    """One worker's part of a batch, on the CPU.

    Attributes:
        pixels: uint8 [n, 3, s, s], whole pictures squashed to squares.
        boxes: float32 [n, 4], the crop of each.
        ids: int64 [n, tokens].
        mask: int64 [n, tokens].
    """

    pixels: torch.Tensor
    boxes: torch.Tensor
    ids: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class TrainingData:
    """Rows, token ids and pictures of the training set.

    Attributes:
        skipped: Rows left out because their image does not decode (bad_images=skip).
    """

    table: CaptionTable
    tokens: Tokens
    squashed: ImageFiles
    whole: ImageFiles
    crop_scale: tuple[float, float]
    data_workers: int
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def drawn_captions(self, seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
        """int64 [n], the caption of each row in this epoch: the same one wherever the row is used."""
        counts = np.diff(self.table.starts)[rows]
        draw = row_uniforms(seed, "caption", epoch, rows, 1)[:, 0]
        return self.table.starts[rows] + (draw * counts).astype(np.int64)

    def batches(self, plan: np.ndarray, share: slice, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch; `share` is this worker's part of each row of `plan`, int64 [iterations, N]."""
        mine = plan[:, share]
        for rows, pixels in zip(mine, load_batches(self.squashed, mine.tolist(), self.data_workers), strict=True):
            boxes = torch.from_numpy(random_crops(rows, self.crop_scale, seed, epoch)).float()
            ids, mask = self.tokens.batch(self.drawn_captions(seed, epoch, rows))
            yield Batch(pixels, boxes, ids, mask)


def load_training_data(config: TrainConfig, clip: Clip) -> TrainingData:
    """Read and tokenise the training tables of a run.

    Raises:
        InputError: A table or image is wrong, or there are fewer rows than a batch holds.
    """
    table = read_training_tables(config.tables, config.caption_columns)
    skipped = unreadable_rows(table) if config.bad_images == "skip" else np.array([], dtype=np.int64)
    if len(skipped):
        table = table.select(np.setdiff1d(np.arange(len(table)), skipped))
    check_rows(config, len(table))
    tokens = tokenise(clip.tokenizer, table.captions, clip.max_tokens)
    size = squashed_size(clip.image_size)
    return TrainingData(
        table,
        tokens,
        ImageFiles(table.images, size, squash),
        ImageFiles(table.images, clip.image_size, centre_crop),
        config.crop_scale,
        config.data_workers,
        len(skipped),
    )


def check_rows(config: TrainConfig, rows: int) -> None:
    """Refuse a training set that does not fill a batch.

    Raises:
        InputError: It has fewer rows than batch_size.
    """
    if rows < config.batch_size:
        raise InputError(
            f"the training set has {rows} rows, fewer than batch_size {config.batch_size}: "
            "give more pairs or a smaller batch_size"
        )


def squashed_size(image_size: int) -> int:
    """Side of the squashed training pictures: a little more than the model's, 256 for 224, so that crops stay sharp."""
    return round(image_size * 8 / 7)


def iterations_of(config: TrainConfig, rows: int) -> int:
    """Batches of an epoch."""
    return config.iterations_per_epoch or rows // config.batch_size


def unreadable_rows(table: CaptionTable) -> np.ndarray:
    """int64, the rows whose image does not decode; looked up once for the same files."""

    def find() -> np.ndarray:
        bad = []
        files = ImageFiles(table.images, 8, squash)
        for row in range(len(files)):
            try:
                files[row]
            except InputError:
                bad.append(row)
        return np.array(bad, dtype=np.int64)

    return cached_array("unreadable", fingerprint(file_stamps(table.images)), find)
