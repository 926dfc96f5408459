"""What the tests of image stores share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from simclip.data.image_store import ImageStore
from simclip.data.images import Pictures, Transform, read_image, resize_antialiased
from simclip.runtime.cache import cache_folder


def draw(path: Path, seed: int = 0, width: int = 24, height: int = 18) -> Path:
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def stores() -> list[Path]:
    return sorted(cache_folder().glob("images-*.u8"))


def parts() -> list[Path]:
    return sorted(cache_folder().glob("images-*.part"))


def assert_holds(pictures: Pictures, paths: list[Path], size: int, transform: Transform = resize_antialiased) -> None:
    assert isinstance(pictures, ImageStore)
    (batch,) = pictures.batches([range(len(paths))])
    assert torch.equal(batch, torch.stack([read_image(path, size, transform) for path in paths]))
