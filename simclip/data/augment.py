"""Training augmentation and normalisation, for a whole batch on its device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from simclip.randomness import row_uniforms

ATTEMPTS = 10


def random_crops(
    rows: np.ndarray, scale: tuple[float, float], seed: int, epoch: int, ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> np.ndarray:
    """Boxes of RandomResizedCrop on squares: area and log aspect uniform, the first of ten draws that fits.

    Args:
        rows: int [n]; a row's box depends on the row, the seed and the epoch alone.
        scale: Area of the box, as a share of the square.

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
    return np.concatenate([draws[:, -2:] * (1 - chosen), chosen], axis=1)


def crop_and_resize(pixels: torch.Tensor, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Cut a box out of every picture and resize it to a square, bilinearly.

    Args:
        pixels: uint8 or float [n, 3, s, s].
        boxes: float [n, 4]: left, top, width, height, as shares of the side.
        size: Side of the result.

    Returns:
        float32 [n, 3, size, size], values as in `pixels`.
    """
    left, top, width, height = boxes.to(torch.float32).unbind(dim=1)
    zero = torch.zeros_like(left)
    # grid_sample's coordinates run from -1 to 1 over the picture.
    across = torch.stack([width, zero, 2 * left + width - 1], dim=1)
    down = torch.stack([zero, height, 2 * top + height - 1], dim=1)
    shape = [len(pixels), 3, size, size]
    grid = F.affine_grid(torch.stack([across, down], dim=1), shape, align_corners=False)
    return F.grid_sample(pixels.to(torch.float32), grid, padding_mode="border", align_corners=False)


def whole(count: int) -> torch.Tensor:
    """float32 [count, 4], boxes that hold the whole picture."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 4)


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """float32 [n, 3, s, s] from 0 to 255, scaled to 0..1, then to the model's mean and deviation per channel."""
    shape = (1, 3, 1, 1)
    mean_, std_ = (torch.tensor(each, device=pixels.device).view(shape) for each in (mean, std))
    return pixels.to(torch.float32).div(255).sub(mean_).div(std_)
