"""Crops and normalisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simclip.data import augment
from simclip.data.augment import crop_and_resize, normalise, random_crops


@st.composite
def scales(draw: st.DrawFn) -> tuple[float, float]:
    low = draw(st.floats(0.01, 1))
    return low, draw(st.floats(low, 1))


@given(scales(), st.integers(0, 999), st.integers(0, 50), st.integers(1, 60))
def test_boxes_lie_in_the_picture_and_keep_to_the_scale(
    scale: tuple[float, float], seed: int, epoch: int, rows: int
) -> None:
    boxes = random_crops(np.arange(rows), scale, seed, epoch)
    left, top, width, height = boxes.T
    assert boxes.shape == (rows, 4)
    assert (boxes >= 0).all() and (left + width <= 1 + 1e-12).all() and (top + height <= 1 + 1e-12).all()
    whole_picture = (width == 1) & (height == 1)  # what is left after ten draws that do not fit
    area, aspect = (width * height)[~whole_picture], (width / height)[~whole_picture]
    assert ((area >= scale[0] - 1e-9) & (area <= scale[1] + 1e-9)).all()
    assert ((aspect >= 3 / 4 - 1e-9) & (aspect <= 4 / 3 + 1e-9)).all()


def test_area_aspect_and_place_are_spread_as_they_should() -> None:
    left, top, width, height = random_crops(np.arange(20_000), (0.2, 0.4), 1, 0).T  # every such box fits
    logs = np.log(width / height) / math.log(4 / 3)
    spread = [(width * height - 0.2) / 0.2, (logs + 1) / 2, left / (1 - width), top / (1 - height)]
    for values in spread:
        counts, _ = np.histogram(values, bins=10, range=(0, 1))
        assert (abs(counts - 2000) < 250).all()  # six deviations
    assert abs(np.corrcoef(spread) - np.eye(4)).max() < 0.04


def test_a_box_belongs_to_row_seed_and_epoch() -> None:
    rows = np.array([5, 3, 900, 0, 41])
    boxes = random_crops(rows, (0.5, 1.0), 1, 2)
    for order in ([4, 2, 0, 1, 3], [2], [1, 1]):
        assert np.array_equal(random_crops(rows[order], (0.5, 1.0), 1, 2), boxes[order])
    others = [random_crops(rows, (0.5, 1.0), *key) for key in ((1, 3), (2, 2), (0, 2))]
    assert not any(np.isclose(boxes, other).all(axis=1).any() for other in others)
    assert len({tuple(box) for box in boxes}) == 5


def test_half_of_the_boxes_are_mirrored_if_asked_and_nothing_else_changes() -> None:
    rows = np.arange(4000)
    plain, flipped = random_crops(rows, (0.5, 1.0), 1, 2), random_crops(rows, (0.5, 1.0), 1, 2, flip=True)
    mirrored = flipped[:, 2] < 0
    assert abs(mirrored.sum() - 2000) < 200  # six deviations
    assert np.array_equal(plain[~mirrored], flipped[~mirrored])
    assert np.array_equal(plain[mirrored][:, [1, 3]], flipped[mirrored][:, [1, 3]])
    np.testing.assert_allclose(plain[mirrored][:, 0], flipped[mirrored][:, [0, 2]].sum(axis=1), atol=1e-12)
    assert np.array_equal(plain[mirrored][:, 2], -flipped[mirrored][:, 2])
    assert np.array_equal(random_crops(rows[:9:-1], (0.5, 1.0), 1, 2, flip=True), flipped[:9:-1])
    for key in ((1, 3), (2, 2)):
        assert 1500 < ((random_crops(rows, (0.5, 1.0), *key, flip=True)[:, 2] < 0) != mirrored).sum() < 2500


@pytest.fixture(params=["on a CPU", "on a GPU"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either of the two ways to crop, both computed here."""
    if request.param == "on a GPU":
        monkeypatch.setattr(augment, "_cut_and_resize", augment._sample)
    return str(request.param)


def pictures(count: int, side: int, channels_last: bool = True) -> torch.Tensor:
    pixels = torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return pixels.contiguous(memory_format=torch.channels_last) if channels_last else pixels


def sliced(picture: torch.Tensor, box: list[float], size: int) -> torch.Tensor:
    """What a crop means: float32 [3, size, size], of the box rounded to whole pixels and one pixel at least."""
    left, top, width, height = box
    edges = []
    for low, high in ((min(left, left + width), max(left, left + width)), (top, top + height)):
        first = min(round(low * picture.shape[-1]), picture.shape[-1] - 1)
        edges.append(slice(first, max(first + 1, round(high * picture.shape[-1]))))
    square = F.interpolate(picture[None, :, edges[1], edges[0]].float(), size=(size, size), mode="bilinear")[0]
    return square.flip(-1) if width < 0 else square


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scales(), st.integers(1, 40), st.integers(2, 40), st.booleans(), st.integers(0, 99))
def test_a_crop_is_a_slice_resized_and_mirrored(
    way: str, scale: tuple[float, float], side: int, size: int, channels_last: bool, seed: int
) -> None:
    pixels = pictures(5, side, channels_last)
    # Shares that stand clear of the borders between pixels, whatever the precision of their products.
    boxes = torch.from_numpy(random_crops(np.arange(5), scale, seed, 0, flip=True))
    boxes = (boxes * side * 64).round().add(0.25) / (side * 64)
    cropped = crop_and_resize(pixels, boxes.float(), size)
    expected = torch.stack([sliced(each, box, size) for each, box in zip(pixels, boxes.tolist(), strict=True)])
    assert cropped.dtype == (torch.uint8 if way == "on a CPU" else torch.float32)
    # Where results are bytes, so is what lies between the two directions.
    torch.testing.assert_close(cropped.float(), expected, atol=1.01 if way == "on a CPU" else 2e-2, rtol=0)


def test_mirrored_is_flipped(way: str) -> None:
    pixels, boxes = pictures(4, 20), torch.from_numpy(random_crops(np.arange(4), (0.3, 0.9), 0, 0)).float()
    mirrored = torch.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1], -boxes[:, 2], boxes[:, 3]], dim=1)
    flipped = crop_and_resize(pixels, boxes, 16).flip(-1)
    torch.testing.assert_close(crop_and_resize(pixels, mirrored, 16), flipped, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("side", "size"), [(37, 32), (32, 32), (16, 32)])
def test_the_whole_picture_is_only_resized(way: str, side: int, size: int) -> None:
    pixels = pictures(3, side)
    expected = F.interpolate(pixels.float(), size=(size, size), mode="bilinear", align_corners=False)
    resized = crop_and_resize(pixels, torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 4), size).float()
    torch.testing.assert_close(resized, expected, atol=1.01 if way == "on a CPU" else 1e-2, rtol=0)


def test_a_box_on_pixel_borders_is_cut_out(way: str) -> None:
    pixels = torch.arange(3 * 16 * 16).reshape(1, 3, 16, 16).float()
    box = torch.tensor([[4 / 16, 2 / 16, 8 / 16, 8 / 16]])  # left, top, width, height
    torch.testing.assert_close(crop_and_resize(pixels, box, 8), pixels[:, :, 2:10, 4:12], atol=1e-3, rtol=0)


def test_every_picture_has_its_own_box(way: str) -> None:
    pixels = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    boxes = torch.from_numpy(random_crops(np.arange(4), (0.3, 0.9), 0, 0)).float()
    together = crop_and_resize(pixels, boxes, 16)
    for number in range(4):
        one = slice(number, number + 1)
        torch.testing.assert_close(together[one], crop_and_resize(pixels[one], boxes[one], 16))


@pytest.mark.parametrize("channels_last", [True, False])
def test_standardising_before_sampling_changes_the_rounding_alone(
    channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of a GPU, in its ways, beside the other order and the CPU's, whose crops are whole bytes."""
    pixels, mean, std = pictures(6, 40, channels_last), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    boxes = torch.from_numpy(random_crops(np.arange(6), (0.3, 0.9), 0, 0, flip=True)).float()
    on_cpu = augment.augment(pixels, boxes, 24, mean, std)
    assert torch.equal(on_cpu, normalise(crop_and_resize(pixels, boxes, 24), mean, std))

    def at_once(pixels: torch.Tensor, middle: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        return torch.addcmul((-middle * factor).view(1, 3, 1, 1), pixels, factor.view(1, 3, 1, 1))

    monkeypatch.setattr(augment, "_cut_and_resize", augment._sample)
    after = normalise(crop_and_resize(pixels, boxes, 24), mean, std)
    monkeypatch.setattr(augment, "_normalise_lines", at_once)
    before = crop_and_resize(normalise(pixels, mean, std), boxes, 24)
    assert before.dtype == torch.float32
    torch.testing.assert_close(before, after, atol=2e-6, rtol=0)
    torch.testing.assert_close(before, on_cpu, atol=1.01 / 255 / min(std), rtol=0)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_many(channels_last: bool, dtype: torch.dtype) -> None:
    pixels = pictures(21, 9, channels_last).to(dtype)
    before = pixels.clone()
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    columns = [(pixels[:, i].double() / 255 - mean[i]) / std[i] for i in range(3)]
    normal = normalise(pixels, mean, std)
    torch.testing.assert_close(normal.double(), torch.stack(columns, dim=1), atol=1e-6, rtol=1e-6)
    assert normal.dtype == torch.float32 and torch.equal(pixels, before)


def test_normalise() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(0 - 0.5) / 0.25, (0.2 - 0.1) / 0.5, (1 - 0.4) / 0.2]
    normal = normalise(pixels, (0.5, 0.1, 0.4), (0.25, 0.5, 0.2))
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal.flatten(), torch.tensor(expected))
