"""What a plan's batches are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from simclip.config import Table, TrainConfig
from simclip.data.augment import random_crops
from simclip.data.images import read_image, squash
from simclip.errors import InputError
from simclip.model import load_clip
from simclip.training_data import Batch, TrainingData, iterations_of, load_training_data, squashed_size

PLAN = np.array([[3, 39, 0, 17], [8, 3, 21, 20], [39, 38, 37, 36]])


def opened(config: TrainConfig, **changes: Any) -> TrainingData:
    config = config.model_copy(update=changes)
    return load_training_data(config, load_clip(config))


def batches(data: TrainingData, share: slice = slice(0, 4), seed: int = 1, epoch: int = 0) -> list[Batch]:
    return list(data.batches(PLAN, share, seed, epoch))


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_a_batch_holds_the_pictures_crops_and_captions_of_its_rows(config: TrainConfig) -> None:
    data = opened(config)
    clip = load_clip(config)
    for rows, batch in zip(PLAN, batches(data, seed=5, epoch=2), strict=True):
        for place, row in enumerate(rows):
            side = squashed_size(clip.image_size)
            assert torch.equal(batch.pixels[place], read_image(data.table.images[row], side, squash))
            caption = data.table.captions[data.drawn_captions(5, 2, np.array([row]))[0]]
            assert clip.tokenizer.decode(batch.ids[place][batch.mask[place] == 1]) == clip.tokenizer.decode(
                clip.tokenizer(caption)["input_ids"]
            )
        boxes = random_crops(rows, config.crop_scale, 5, 2)
        torch.testing.assert_close(batch.boxes, torch.from_numpy(boxes).float())


def test_decoding_processes_change_nothing(config: TrainConfig) -> None:
    for here, elsewhere in zip(batches(opened(config)), batches(opened(config, data_workers=1)), strict=True):
        assert equal(here, elsewhere)


def test_workers_parts_make_up_the_batch(config: TrainConfig) -> None:
    data = opened(config)
    for whole, first, second in zip(batches(data), batches(data, slice(0, 2)), batches(data, slice(2, 4)), strict=True):
        assert torch.equal(torch.cat([first.pixels, second.pixels]), whole.pixels)
        assert torch.equal(torch.cat([first.boxes, second.boxes]), whole.boxes)
        for part, begin in ((first, 0), (second, 2)):  # cut to the longest caption of their own
            width = part.ids.shape[1]
            assert torch.equal(part.ids, whole.ids[begin : begin + 2, :width])
            assert whole.mask[begin : begin + 2, width:].sum() == 0


def test_epochs_and_seeds_change_crops_and_captions_but_no_picture(config: TrainConfig) -> None:
    data = opened(config)
    first = batches(data)[0]
    assert equal(first, batches(data)[0])
    for other in (batches(data, epoch=1)[0], batches(data, seed=2)[0]):
        assert torch.equal(first.pixels, other.pixels)
        assert not torch.equal(first.boxes, other.boxes)
    drawn = [data.drawn_captions(*key, np.arange(40)).tolist() for key in ((1, 0), (1, 1), (2, 0))]
    assert len(set(map(tuple, drawn))) == 3


def test_a_repeated_row_is_a_row_of_its_own(config: TrainConfig) -> None:
    assert config.train_tsv and config.train_image_dir
    table = Table(tsv=config.train_tsv, image_dir=config.train_image_dir, limit=5, repeat=2)
    data = opened(config, train_tsv=None, train_image_dir=None, train_tables=[table])
    assert len(data) == 10 and data.table.images[:5] == data.table.images[5:]
    boxes = random_crops(np.arange(10), config.crop_scale, 1, 0)
    assert not np.isclose(boxes[:5], boxes[5:]).any()


def test_batches_of_an_epoch(config: TrainConfig) -> None:
    assert iterations_of(config, 40) == 5
    assert iterations_of(config, 47) == 5
    assert iterations_of(config.model_copy(update={"iterations_per_epoch": 99}), 40) == 99
    assert squashed_size(224) == 256
    with pytest.raises(
        InputError, match="the training set has 40 rows, fewer than batch_size 41: give more pairs or a"
    ):
        opened(config, batch_size=41)
