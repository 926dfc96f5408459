"""What a plan's batches are made of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simclip.data.augment import random_crops
from simclip.data.image_store import ImageStore
from simclip.data.images import ImageFiles, read_image, resize_antialiased
from simclip.data.table import Table
from simclip.data.training_set import PLANS_AHEAD, Batch, TrainingData, iterations_of, training_size
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder
from simclip.train.config import TrainConfig
from simclip.train.load import load_data, load_model
from simclip.train.loop import Training

PLAN = np.array([[3, 39, 0, 17], [8, 3, 21, 20], [39, 38, 37, 36]])


def opened(config: TrainConfig, **changes: Any) -> TrainingData:
    config = config.model_copy(update=changes)
    return load_data(config, load_model(config))


def batches(data: TrainingData, share: slice = slice(0, 4), seed: int = 1, epoch: int = 0) -> list[Batch]:
    return list(data.batches(PLAN, share, seed, epoch))


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_a_batch_holds_the_pictures_crops_and_captions_of_its_rows(config: TrainConfig) -> None:
    data = opened(config)
    clip = load_model(config)
    for rows, batch in zip(PLAN, batches(data, seed=5, epoch=2), strict=True):
        for place, row in enumerate(rows):
            side = training_size(clip.image_size)
            assert torch.equal(batch.pixels[place], read_image(data.table.images[row], side, resize_antialiased))
            caption = data.table.captions[data.drawn_captions(5, 2, np.array([row]))[0]]
            assert clip.tokenizer.decode(batch.ids[place][batch.mask[place] == 1]) == clip.tokenizer.decode(
                clip.tokenizer(caption)["input_ids"]
            )
        boxes = random_crops(rows, config.crop_scale, 5, 2)
        torch.testing.assert_close(batch.boxes, torch.from_numpy(boxes).float())


@pytest.mark.parametrize("changes", [{"image_store": "off"}, {"image_store": "off", "data_workers": 2}])
def test_neither_store_nor_decoding_processes_change_anything(config: TrainConfig, changes: dict[str, Any]) -> None:
    stored, decoded = opened(config, flip=True), opened(config, flip=True, **changes)
    assert isinstance(stored.images, ImageStore) and isinstance(decoded.images, ImageFiles)
    for here, elsewhere in zip(batches(stored), batches(decoded), strict=True):
        assert equal(here, elsewhere)
        strides = [[each.stride() for each in vars(batch).values()] for batch in (here, elsewhere)]
        assert strides[0] == strides[1]  # the order of sums depends on it
    for row in range(len(stored)):
        assert torch.equal(stored.whole[row], decoded.whole[row])


@pytest.mark.parametrize("changes", [{}, {"image_store": "off"}, {"image_store": "off", "data_workers": 2}])
def test_a_plan_may_be_made_while_it_is_used(config: TrainConfig, changes: dict[str, Any]) -> None:
    data, main = opened(config, **changes), threading.current_thread()
    planned: list[int] = []

    def plan() -> Iterator[np.ndarray]:
        for number, rows in enumerate(np.tile(PLAN, (PLANS_AHEAD, 1))):
            assert threading.current_thread() is not main
            planned.append(number)
            yield rows

    streamed = data.batches(plan(), slice(0, 4), 1, 0)
    first = next(streamed)
    assert len(planned) < 2 * PLANS_AHEAD
    once = batches(data)
    for batch, expected in zip([first, *streamed], once * PLANS_AHEAD, strict=True):
        assert equal(batch, expected)


def test_an_error_in_the_plan_comes_where_its_batch_would(config: TrainConfig) -> None:
    def plan() -> Iterator[np.ndarray]:
        yield PLAN[0]
        raise InputError("no neighbours")

    made = opened(config).batches(plan(), slice(0, 4), 1, 0)
    assert len(next(made).pixels) == 4
    with pytest.raises(InputError, match="no neighbours"):
        next(made)


def test_store_size_is_the_side_of_training_pictures(config: TrainConfig) -> None:
    data = opened(config, store_size=50)
    assert batches(data)[0].pixels.shape == (4, 3, 50, 50) and data.whole.size == 32


def test_the_pictures_of_evaluation_are_made_ready_only_if_they_are_asked_for(config: TrainConfig) -> None:
    data = opened(config)
    assert len(list(cache_folder().glob("images-*.u8"))) == 1
    assert len(data.whole) == 40
    assert len(list(cache_folder().glob("images-*.u8"))) == 2
    assert data.whole is data.whole


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
    mirrored = batches(opened(config, flip=True))[0]
    assert torch.equal(first.pixels, mirrored.pixels) and torch.equal(first.ids, mirrored.ids)
    assert (first.boxes[:, 2] > 0).all() and torch.equal(first.boxes[:, 2], mirrored.boxes[:, 2].abs())
    drawn = [data.drawn_captions(*key, np.arange(40)).tolist() for key in ((1, 0), (1, 1), (2, 0))]
    assert len(set(map(tuple, drawn))) == 3


def test_a_repeated_row_is_a_row_of_its_own(config: TrainConfig) -> None:
    assert config.train_tsv and config.train_image_dir
    table = Table(tsv=config.train_tsv, image_dir=config.train_image_dir, limit=5, repeat=2)
    data = opened(config, train_tsv=None, train_image_dir=None, train_tables=[table])
    assert len(data) == 10 and data.table.images[:5] == data.table.images[5:]
    (store,) = cache_folder().glob("images-*.u8")
    side = training_size(32)
    assert 5 * side * side * 3 <= store.stat().st_size < 6 * side * side * 3  # each picture once
    assert all(torch.equal(data.images[row], data.images[row + 5]) for row in range(5))
    boxes = random_crops(np.arange(10), config.crop_scale, 1, 0)
    assert not np.isclose(boxes[:5], boxes[5:]).any()


def test_plans_are_made_ahead_in_a_thread_of_their_own(config: TrainConfig) -> None:
    """While a batch is trained on; as many as planned at once and no more."""
    far, made, threads = threading.Event(), [], set()

    def plan() -> Iterator[np.ndarray]:
        for number in range(3 * PLANS_AHEAD):
            made.append(number)
            threads.add(threading.current_thread())
            if number == PLANS_AHEAD - 1:
                far.set()
            yield PLAN[number % 3]

    ready = opened(config).batches(plan(), slice(0, 4), 1, 0)
    next(ready)
    assert far.wait(60) and len(made) <= PLANS_AHEAD + 5
    assert len(list(ready)) == 3 * PLANS_AHEAD - 1
    assert len(threads) == 1 and threading.current_thread() not in threads


def test_batches_of_an_epoch(config: TrainConfig) -> None:
    assert iterations_of(40, config.batch_size) == 5
    assert iterations_of(47, config.batch_size) == 5
    assert iterations_of(40, config.batch_size, 99) == 99
    assert training_size(224) == 256
    with pytest.raises(
        InputError, match="the training set has 40 rows, fewer than batch_size 41: give more pairs or a"
    ):
        opened(config, batch_size=41)


def test_store_or_not_the_run_is_the_same_to_the_bit(config: TrainConfig, tmp_path: Path) -> None:
    runs = []
    for number, changes in enumerate(({"image_store": "on"}, {"image_store": "off", "data_workers": 2})):
        fields = {"epochs": 2, "similarity": "image", "flip": True, **changes}
        training = Training(config.model_copy(update=fields), tmp_path / str(number))
        history = training.run(lambda history, checkpoint: None)
        figures = [{k: v for k, v in row.items() if k == "metric" or k[:4] in ("val/", "trai")} for row in history]
        runs.append((figures, training.clip.model.state_dict()))
    (first, weights), (second, others) = runs
    assert len(first) == 3 and "train/loss" in first[2] and first == second
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
