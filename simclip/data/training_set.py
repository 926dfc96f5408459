"""TrainingData: the training pairs of a run, and the batches that a plan makes of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import tee
from typing import Literal

import numpy as np
import torch

from simclip.data.augment import random_crops
from simclip.data.image_store import open_pictures
from simclip.data.images import Pictures, resize_antialiased
from simclip.data.input_format import InputFormat
from simclip.data.pair_table import CaptionTable, check_rows, read_training_tables
from simclip.data.picture import Picture
from simclip.data.picture_file import Exif, picture_notes, unreadable
from simclip.data.table import KNOWN, Reading, Table
from simclip.data.tokens import Tokens
from simclip.runtime.prefetch import prefetch
from simclip.runtime.randomness import row_uniforms

#: Number of batches that are planned before they are asked for: the neighbours of about as many are ranked at once.
PLANS_AHEAD = 32


@dataclass(frozen=True)
class Batch:
    """One worker's share of a batch, on the CPU.

    Attributes:
        pixels: uint8 [n, 3, s, s], whole images resized to squares.
        boxes: float32 [n, 4], the crop of each image; a negative width mirrors.
        ids: int64 [n, tokens].
        mask: int64 [n, tokens].
    """

    pixels: torch.Tensor
    boxes: torch.Tensor
    ids: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Rows, token ids and images of the training set.

    Attributes:
        table: Images and captions.
        tokens: Token ids of every caption.
        images: Whole images as squares, a little larger than the model's input.
        inputs: The model's input format.
        image_store: Whether images without augmentation are stored; see `open_pictures`.
        crop_scale: Area of random crops, as shares of the square.
        flip: Whether half of the images are mirrored.
        data_workers: Number of decoding processes, for images that are not stored.
        exif: Whether images are turned as their EXIF orientation says.
        skipped: Images that were left out because they do not decode, and why.
    """

    table: CaptionTable
    tokens: Tokens
    images: Pictures
    inputs: InputFormat
    image_store: Literal["auto", "on", "off"] = "auto"
    crop_scale: tuple[float, float] = (0.8, 1.0)
    flip: bool = False
    data_workers: int = 0
    exif: Exif = "ignore"
    skipped: Mapping[Picture, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def notes(self) -> list[str]:
        """Lines about what was merged, left out, changed and shortened."""
        left_out = f"{len(self.skipped)} images left out: they do not decode (train.bad_images=skip)"
        long = (
            f"{self.tokens.shortened} of {len(self.tokens)} captions are longer than {self.inputs.max_tokens} tokens "
            "and are truncated"
        )
        return [
            *self.table.notes,
            *([left_out] if self.skipped else []),
            *picture_notes("training", self.table.images, self.exif),
            *([long] if self.tokens.shortened else []),
        ]

    def drawn_captions(self, seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
        """The caption of each row in an epoch, int64 [n]; independent of the batch."""
        counts = np.diff(self.table.starts)[rows]
        draw = row_uniforms(seed, "caption", epoch, rows, 1)[:, 0]
        return self.table.starts[rows] + (draw * counts).astype(np.int64)

    @cached_property
    def whole(self) -> Pictures:
        """The images without augmentation, as in evaluation; opened on first use."""
        return open_pictures(
            self.table.images, self.inputs.image_size, self.inputs.transform, self.image_store, self.exif
        )

    def batches(
        self,
        plan: Iterable[np.ndarray],
        share: slice,
        seed: int,
        epoch: int,
        pin: bool = False,
        multiple: int = 1,
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch, prepared in a thread while earlier ones are trained on.

        Args:
            plan: Rows of each batch, int64 [N]; made in a thread of its own, up to PLANS_AHEAD batches ahead.
            share: This worker's part of each batch.
            seed: Seed of the run.
            epoch: Epoch, counted from 0.
            pin: Whether to use page-locked memory, for fast copies to a GPU. Torch keeps the memory of batches that are
                gone for later ones.
            multiple: See `Tokens.batch`.
        """
        return prefetch(self._batches(plan, share, seed, epoch, pin, multiple))

    def _batches(
        self, plan: Iterable[np.ndarray], share: slice, seed: int, epoch: int, pin: bool, multiple: int
    ) -> Generator[Batch, None, None]:
        with closing(prefetch(iter(plan), PLANS_AHEAD)) as planned:
            mine, same = tee(batch[share] for batch in planned)
            images = self.images.batches(same, self.data_workers, pin)
            for rows, pixels in zip(mine, images, strict=True):
                boxes = random_crops(rows, self.crop_scale, seed, epoch, flip=self.flip)
                tokens = self.tokens.batch(self.drawn_captions(seed, epoch, rows), multiple)
                rest = torch.from_numpy(boxes).float(), *tokens
                yield Batch(pixels, *(each.pin_memory() if pin else each for each in rest))


def load_training_data(
    tables: Sequence[Table],
    inputs: InputFormat,
    *,
    batch_size: int,
    reading: Reading = KNOWN,
    bad_images: Literal["error", "skip"] = "error",
    exif: Exif = "ignore",
    image_store: Literal["auto", "on", "off"] = "auto",
    store_size: int | None = None,
    crop_scale: tuple[float, float] = (0.8, 1.0),
    flip: bool = False,
    data_workers: int = 0,
) -> TrainingData:
    """Read and tokenise training tables, and decode their images if these are to be stored.

    Args:
        tables: Training tables, concatenated.
        inputs: The model's input format.
        batch_size: Minimum number of rows.
        reading: Which columns of the tables are read, and whether pairs of shards that lack something are left out.
        bad_images: What to do with rows whose image does not decode: fail, or leave them out.
        exif: Whether to turn images as their EXIF orientation says.
        image_store: Whether to store decoded images; see `open_pictures`.
        store_size: Side of the training images in pixels; by default 8/7 of the model's.
        crop_scale: Area of random crops, as shares of the square.
        flip: Whether to mirror half of the images.
        data_workers: Number of decoding processes, for images that are not stored.

    Raises:
        InputError: A table or image is wrong, or there are fewer rows than `batch_size`.
    """
    table = read_training_tables(tables, reading)
    skipped = unreadable(table.images) if bad_images == "skip" else {}
    if skipped:
        table = table.select(np.flatnonzero([image not in skipped for image in table.images]))
    check_rows(len(table), batch_size)
    tokens = inputs.tokens(table.captions)
    size = store_size or training_size(inputs.image_size)
    return TrainingData(
        table=table,
        tokens=tokens,
        images=open_pictures(table.images, size, resize_antialiased, image_store, exif),
        inputs=inputs,
        image_store=image_store,
        crop_scale=crop_scale,
        flip=flip,
        data_workers=data_workers,
        exif=exif,
        skipped=skipped,
    )


def training_size(image_size: int) -> int:
    """Side of training images in pixels: 8/7 of the model's, 256 for 224, so that crops stay sharp."""
    return round(image_size * 8 / 7)


def iterations_of(rows: int, batch_size: int, iterations_per_epoch: int | None = None) -> int:
    """Number of batches in an epoch: `iterations_per_epoch` if given, else every whole batch of the rows."""
    return iterations_per_epoch or rows // batch_size
