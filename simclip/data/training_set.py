"""The training pairs of a run, and the batches that a plan makes of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import tee
from pathlib import Path

import numpy as np
import torch

from simclip.config.training import TrainConfig
from simclip.data.augment import random_crops
from simclip.data.image_store import BLOCK, open_pictures
from simclip.data.images import Pictures, Transform, in_threads, read_square, squash
from simclip.data.input_format import InputFormat
from simclip.data.pair_table import CaptionTable, read_training_tables
from simclip.data.tokens import Tokens
from simclip.errors import InputError
from simclip.runtime.cache import cached_array, file_stamps, fingerprint
from simclip.runtime.prefetch import prefetch
from simclip.runtime.randomness import row_uniforms


@dataclass(frozen=True)
class Batch:
    """One worker's part of a batch, on the CPU.

    Attributes:
        pixels: uint8 [n, 3, s, s], whole pictures squashed to squares.
        boxes: float32 [n, 4], the crop of each; those of a negative width are to be mirrored.
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
        squashed: Whole pictures as squares, a little larger than the model's.
        image_size: Side of the model's input.
        transform: Makes such a square of a picture that is not augmented.
        skipped: Rows left out because their image does not decode (bad_images=skip).
    """

    config: TrainConfig
    table: CaptionTable
    tokens: Tokens
    squashed: Pictures
    image_size: int
    transform: Transform
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.table)

    def drawn_captions(self, seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
        """int64 [n], the caption of each row in this epoch: the same one wherever the row is used."""
        counts = np.diff(self.table.starts)[rows]
        draw = row_uniforms(seed, "caption", epoch, rows, 1)[:, 0]
        return self.table.starts[rows] + (draw * counts).astype(np.int64)

    @cached_property
    def whole(self) -> Pictures:
        """The pictures without augmentation, as in evaluation; made ready when first asked for."""
        return open_pictures(self.table.images, self.image_size, self.transform, self.config.image_store)

    def batches(
        self, plan: Iterable[np.ndarray], share: slice, seed: int, epoch: int, pin: bool = False
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch, made in a thread of their own while earlier ones are trained on.

        Args:
            plan: int64 [N], the rows of each batch; taken in that thread, a batch or two ahead of what is asked for
                (a few more with decoding processes).
            share: This worker's part of each.
            seed: Of the run.
            epoch: From 0.
            pin: Put them into page-locked memory, for fast copies to a GPU.
        """
        return prefetch(self._batches(plan, share, seed, epoch, pin))

    def _batches(
        self, plan: Iterable[np.ndarray], share: slice, seed: int, epoch: int, pin: bool
    ) -> Generator[Batch, None, None]:
        mine, same = tee(batch[share] for batch in plan)
        pictures = self.squashed.batches(same, self.config.data_workers, pin)
        for rows, pixels in zip(mine, pictures, strict=True):
            boxes = random_crops(rows, self.config.crop_scale, seed, epoch, flip=self.config.flip)
            rest = torch.from_numpy(boxes).float(), *self.tokens.batch(self.drawn_captions(seed, epoch, rows))
            yield Batch(pixels, *(each.pin_memory() if pin else each for each in rest))


def load_training_data(config: TrainConfig, inputs: InputFormat) -> TrainingData:
    """Read and tokenise the training tables of a run, and decode their images if they are to be stored.

    Args:
        config: The run.
        inputs: What the model takes.

    Raises:
        InputError: A table or image is wrong, or there are fewer rows than a batch holds.
    """
    table = read_training_tables(config.tables, config.caption_columns)
    skipped = unreadable_rows(table) if config.bad_images == "skip" else np.array([], dtype=np.int64)
    if len(skipped):
        table = table.select(np.setdiff1d(np.arange(len(table)), skipped))
    check_rows(config, len(table))
    tokens = inputs.tokens(table.captions)
    size = config.store_size or squashed_size(inputs.image_size)
    squashed = open_pictures(table.images, size, squash, config.image_store)
    return TrainingData(config, table, tokens, squashed, inputs.image_size, inputs.transform, len(skipped))


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

    def bad_in(block: int) -> list[int]:
        rows = range(block * BLOCK, min((block + 1) * BLOCK, len(table)))
        return [row for row in rows if not _is_readable(table.images[row])]

    def find() -> np.ndarray:
        with closing(in_threads(bad_in, -(-len(table) // BLOCK))) as blocks:
            return np.array([row for block in blocks for row in block], dtype=np.int64)

    return cached_array("unreadable", fingerprint(file_stamps(table.images)), find)


def _is_readable(path: Path) -> bool:
    try:
        read_square(path, 8, squash)
    except InputError:
        return False
    return True
