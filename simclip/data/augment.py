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
#: Pictures at a time: few stay in a CPU's cache; as floats with their grids, not too many go into a GPU's memory.
CPU_PART, GPU_PART = 8, 256


def random_crops(
    rows: np.ndarray,
    scale: tuple[float, float],
    seed: int,
    epoch: int,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = False,
) -> np.ndarray:
    """Boxes of RandomResizedCrop on squares: area and log aspect uniform, the first of ten draws that fits.

    Args:
        rows: int [n]; a row's box depends on the row, the seed and the epoch alone.
        scale: Area of the box, as a share of the square.
        ratio: Width over height.
        flip: Mirror half of the boxes: those begin at their right side, and their width is negative.

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


def crop_and_resize(pixels: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Cut a box of whole pixels out of every picture and resize it to a square, bilinearly; or its mirror image.

    Args:
        pixels: uint8 or float32 [n, 3, s, s]; uint8 is fastest "channels last", as stores have it.
        boxes: float [n, 4]: left, top, width, height, as shares of the side; a negative width mirrors.
        size: Side of the result.

    Returns:
        [n, 3, size, size], values as in `pixels`: of its type on a CPU, float32 on a GPU.
    """
    left, top, width, height = boxes.to(torch.float32).unbind(dim=1)
    side, mirrored = pixels.shape[-1], width < 0
    low, high = _edges(torch.where(mirrored, left + width, left), width.abs(), side)
    begin, end = torch.where(mirrored, high, low), torch.where(mirrored, low, high)
    corners = torch.stack([begin, end, *_edges(top, height, side)], dim=1)
    if pixels.device.type == "cpu":
        return _cut_and_resize(pixels, corners.int(), size)
    parts = zip(pixels.split(GPU_PART), corners.split(GPU_PART), strict=True)
    return torch.cat([_sample(part, its_corners, size) for part, its_corners in parts])


def _edges(low: torch.Tensor, length: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """From shares of the side to whole pixels, one of them at least."""
    first = (low * side).round().clamp(max=side - 1)
    return first, torch.maximum(((low + length) * side).round(), first + 1)


def _cut_and_resize(pixels: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """Picture by picture: on a CPU, a vectorised resize of uint8 outweighs the calls."""
    squares = []
    for picture, (begin, end, top, bottom) in zip(pixels.split(1), corners.tolist(), strict=True):
        box = picture[:, :, top:bottom, min(begin, end) : max(begin, end)]
        square = F.interpolate(box, size=(size, size), mode="bilinear")
        squares.append(square.flip(-1) if end < begin else square)
    return torch.cat(squares)


def _sample(pixels: torch.Tensor, corners: torch.Tensor, size: int) -> torch.Tensor:
    """All pictures at once: what a GPU wants."""
    left, right, top, bottom = corners[:, :, None].unbind(dim=1)
    steps = (torch.arange(size, device=pixels.device) + 0.5) / size

    def centres(begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """[n, size], -1 to 1 over the picture; as far as the centres of the box's outermost pixels."""
        along = begin + (end - begin) * steps
        inside = along.clamp(torch.minimum(begin, end) + 0.5, torch.maximum(begin, end) - 0.5)
        return inside * (2 / pixels.shape[-1]) - 1

    across, down = centres(left, right)[:, None, :], centres(top, bottom)[:, :, None]
    grid = torch.stack(torch.broadcast_tensors(across, down), dim=-1)
    return F.grid_sample(pixels.to(torch.float32), grid, padding_mode="border", align_corners=False)


def whole(count: int) -> torch.Tensor:
    """float32 [count, 4], boxes that hold the whole picture."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 4)


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """float32 [n, 3, s, s] of any pixels from 0 to 255: scaled to 0..1, then to the model's mean and deviation."""
    middle, deviation = _scale(tuple(mean), tuple(std), pixels.device)
    if pixels.device.type == "cpu":
        return _normalise_lines(pixels, middle, 1 / deviation)
    return torch.sub(pixels, middle.view(1, 3, 1, 1)).div_(deviation.view(1, 3, 1, 1))


@lru_cache(maxsize=16)
def _scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Both for values from 0 to 255, on the device; kept there, because each copy to a GPU makes the host wait."""
    with torch.inference_mode(False):
        return torch.tensor(mean, device=device) * 255, torch.tensor(std, device=device) * 255


def _normalise_lines(pixels: torch.Tensor, middle: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """A line of pixels as one vector, a few pictures at a time, so that a CPU finds them in its cache."""
    count, _, height, width = pixels.shape
    lines = pixels.permute(0, 2, 3, 1).flatten(2)
    middle, factor = middle.repeat(width), factor.repeat(width)
    # numpy asks for huge pages, torch does not: filling fresh memory is several times faster.
    normal = torch.from_numpy(np.empty(lines.shape, dtype=np.float32))
    for part, out in zip(lines.split(CPU_PART), normal.split(CPU_PART), strict=True):
        out.copy_(part).sub_(middle).mul_(factor)
    return normal.view(count, height, width, 3).permute(0, 3, 1, 2)
