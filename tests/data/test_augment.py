"""Crops and normalisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from simclip.data.augment import crop_and_resize, normalise, random_crops, whole


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


@pytest.mark.parametrize(("side", "size"), [(37, 32), (32, 32), (16, 32)])
def test_the_whole_picture_is_only_resized(side: int, size: int) -> None:
    pixels = torch.randint(256, (3, 3, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = F.interpolate(pixels.float(), size=(size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(crop_and_resize(pixels, whole(3), size), expected, atol=1e-2, rtol=0)


def test_a_box_on_pixel_borders_is_cut_out() -> None:
    pixels = torch.arange(3 * 16 * 16).reshape(1, 3, 16, 16).float()
    box = torch.tensor([[4 / 16, 2 / 16, 8 / 16, 8 / 16]])  # left, top, width, height
    torch.testing.assert_close(crop_and_resize(pixels, box, 8), pixels[:, :, 2:10, 4:12], atol=1e-3, rtol=0)


def test_every_picture_has_its_own_box() -> None:
    pixels = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    boxes = torch.from_numpy(random_crops(np.arange(4), (0.3, 0.9), 0, 0)).float()
    together = crop_and_resize(pixels, boxes, 16)
    for number in range(4):
        one = slice(number, number + 1)
        torch.testing.assert_close(together[one], crop_and_resize(pixels[one], boxes[one], 16))


def test_normalise() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(0 - 0.5) / 0.25, (0.2 - 0.1) / 0.5, (1 - 0.4) / 0.2]
    normal = normalise(pixels, (0.5, 0.1, 0.4), (0.25, 0.5, 0.2))
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal.flatten(), torch.tensor(expected))
