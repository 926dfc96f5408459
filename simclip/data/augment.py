"""Training augmentation and normalisation, for a whole batch on its device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from simclip.runtime.randomness import row_uniforms

ATTEMPTS = 10
#: Images per step on a CPU, few enough for its cache.
CPU_PART = 8


def random_crops(
    rows: np.ndarray,
    scale: tuple[float, float],
    seed: int,
    epoch: int,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = False,
) -> np.ndarray:
    """Draw boxes as RandomResizedCrop does: area and log aspect ratio uniform, the first of ten draws that fits.

    Args:
        rows: int [n]; a row's box depends on the row, the seed and the epoch alone.
        scale: Range of the box's area, as a share of the square.
        seed: Seed of the run.
        epoch: Epoch, counted from 0.
        ratio: Range of width over height.
        flip: Whether to mirror half of the boxes: left is then the right edge, and the width is negative.

    Returns:
        float64 [n, 4]: left, top, width, height, as shares of the side.
    """
    draws = row_uniforms(seed, "crop", epoch, rows, 2 * ATTEMPTS + 2)
    area = scale[0] + (scale[1] - scale[0]) * draws[:, :ATTEMPTS]
    low, high = map(math.log, ratio)
    aspect = np.exp(low + (high - low) * draws[:, ATTEMPTS : 2 * ATTEMPTS])
    sides = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=-1)
    fits = (sides <= 1).all(axis=-1)
    first = sides[np.arange(len(rows)), fits.argmax(axis=1)]
    chosen = np.where(fits.max(axis=1, keepdims=True), first, 1.0)
    boxes = np.concatenate([draws[:, -2:] * (1 - chosen), chosen], axis=1)
    if flip:
        mirrored = row_uniforms(seed, "flip", epoch, rows, 1)[:, 0] < 0.5
        boxes[mirrored, 0] += boxes[mirrored, 2]
        boxes[mirrored, 2] *= -1
    return boxes


def augment(
    pixels: torch.Tensor, boxes: torch.Tensor, size: int, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Crop, resize and standardise the images of a batch.

    On a GPU they are standardised as they become floats, before they are sampled, which costs no kernel of its own. The
    weights of a bilinear sample add up to 1, so the order only changes the rounding: results differ by less than 2e-6.

    Args:
        pixels: uint8 [n, 3, s, s].
        boxes: See `crop_and_resize`.
        size: Side of the result in pixels.
        mean: Mean of each channel, for values from 0 to 1.
        std: Standard deviation of each channel.

    Returns:
        float32 [n, 3, size, size].
    """
    if pixels.device.type == "cpu":
        return normalise(crop_and_resize(pixels, boxes, size), mean, std)
    return crop_and_resize(normalise(pixels, mean, std), boxes, size)


def crop_and_resize(pixels: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Crop a box of whole pixels from each image, and resize it bilinearly to a square; mirror it if asked to.

    Args:
        pixels: uint8 or float32 [n, 3, s, s]; uint8 is fastest in the "channels last" format of image stores.
        boxes: float [n, 4]: left, top, width, height, as shares of the side; a negative width mirrors.
        size: Side of the result in pixels.

    Returns:
        [n, 3, size, size] with the value range of `pixels`; its dtype on a CPU, float32 on a GPU.
    """
    left, top, width, height = boxes.to(torch.float32).unbind(dim=1)
    side, mirrored = pixels.shape[-1], width < 0
    low, high = _edges(torch.where(mirrored, left + width, left), width.abs(), side)
    begin, end = torch.where(mirrored, high, low), torch.where(mirrored, low, high)
    corners = torch.stack([begin, end, *_edges(top, height, side)], dim=1)
    if pixels.device.type == "cpu":
        return _cut_and_resize(pixels, corners.int(), size)
    return _sample(pixels, corners, size)


def _edges(low: torch.Tensor, length: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Convert shares of the side to whole pixels, at least one."""
    first = (low * side).round().clamp(max=side - 1)
    return first, torch.maximum(((low + length) * side).round(), first + 1)


def _cut_and_resize(pixels: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """Process image by image: on a CPU, the vectorised uint8 resize outweighs the calls."""
    squares = []
    for picture, (begin, end, top, bottom) in zip(pixels.split(1), corners.tolist(), strict=True):
        box = picture[:, :, top:bottom, min(begin, end) : max(begin, end)]
        square = F.interpolate(box, size=(size, size), mode="bilinear")
        squares.append(square.flip(-1) if end < begin else square)
    return torch.cat(squares)


def _sample(pixels: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """Process all images at once, for a GPU."""
    left, right, top, bottom = corners[:, :, None].unbind(dim=1)
    steps = (torch.arange(size, device=pixels.device) + 0.5) / size

    def centres(begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """Pixel centres [n, size], from -1 to 1 over the image, clamped to the centres of the box's outer pixels."""
        along = begin + (end - begin) * steps
        inside = along.clamp(torch.minimum(begin, end) + 0.5, torch.maximum(begin, end) - 0.5)
        return inside * (2 / pixels.shape[-1]) - 1

    across, down = centres(left, right)[:, None, :], centres(top, bottom)[:, :, None]
    grid = torch.stack(torch.broadcast_tensors(across, down), dim=-1)
    return F.grid_sample(pixels.to(torch.float32), grid, padding_mode="border", align_corners=False)


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Scale pixels from 0..255 to 0..1, then standardise each channel; returns float32 [n, 3, s, s]."""
    middle, factor, offset = _scale(tuple(mean), tuple(std), pixels.device)
    if pixels.device.type == "cpu":
        return _normalise_lines(pixels, middle, factor)
    return torch.addcmul(offset.view(1, 3, 1, 1), pixels, factor.view(1, 3, 1, 1))  # converts bytes in the same kernel


@lru_cache(maxsize=16)
def _scale(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, factor and what the factor leaves of the mean, for values from 0 to 255.

    They are cached on the device because a copy to a GPU blocks the host.
    """
    with torch.inference_mode(False):
        middle, factor = torch.tensor(mean, device=device) * 255, 1 / (torch.tensor(std, device=device) * 255)
        return middle, factor, -middle * factor


def _normalise_lines(pixels: torch.Tensor, middle: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Normalise whole lines of pixels as vectors, a few images at a time so that they fit in a CPU's cache."""
    count, _, height, width = pixels.shape
    lines = pixels.permute(0, 2, 3, 1).flatten(2)
    middle, factor = middle.repeat(width), factor.repeat(width)
    # numpy allocates huge pages, torch does not: filling new memory is several times faster.
    normal = torch.from_numpy(np.empty(lines.shape, dtype=np.float32))
    for part, out in zip(lines.split(CPU_PART), normal.split(CPU_PART), strict=True):
        out.copy_(part).sub_(middle).mul_(factor)
    return normal.view(count, height, width, 3).permute(0, 3, 1, 2)
