"""Images from files to uint8 squares: squashed for training, centre-cropped exactly as OpenCLIP does for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from simclip.errors import InputError

Transform = Callable[[Image.Image, int], Image.Image]


def squash(image: Image.Image, size: int) -> Image.Image:
    """The whole picture as a square of `size` pixels; JPEG files are decoded at reduced size where that suffices."""
    image.draft("RGB", (size, size))
    return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """The shorter side resized to `size`, then the middle square: OpenCLIP's evaluation transform, to the bit.

    The long side is floored and the crop's offset rounded half to even, as torchvision does.
    """
    width, height = image.size
    short = min(width, height)
    width, height = (
        (size if width == short else size * width // short),
        (size if height == short else size * height // short),
    )
    if Image.MAX_IMAGE_PIXELS and width * height > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"too long and thin: {width}x{height} pixels when its short side is {size}")
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size)).convert("RGB")


def read_image(path: Path, size: int, transform: Transform) -> torch.Tensor:
    """Decode one file.

    Returns:
        uint8 [3, size, size].

    Raises:
        InputError: The file does not decode or is a decompression bomb.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(transform(image, size))
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an image ({reason}): replace it, or drop such rows with bad_images=skip"
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


class ImageFiles(Dataset[torch.Tensor]):
    """Image files as uint8 squares, decoded when asked for."""

    def __init__(self, paths: Sequence[Path], size: int, transform: Transform) -> None:
        self.paths, self.size, self.transform = paths, size, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return read_image(self.paths[row], self.size, self.transform)


def load_batches(images: Dataset[torch.Tensor], batches: Iterable[list[int]], workers: int) -> Iterator[torch.Tensor]:
    """Decode batch after batch.

    Args:
        images: Squares of one size, by row.
        batches: The rows of each batch.
        workers: Decoding processes; 0 decodes in this one.

    Yields:
        uint8 [n, 3, size, size].

    Raises:
        InputError: An image does not decode.
    """
    try:
        yield from DataLoader(images, batch_sampler=batches, num_workers=workers)
    except InputError as error:
        # A decoding process sends its whole traceback as the message: the error's own line is the last.
        line = str(error).strip().splitlines()[-1]
        raise InputError(line.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")) from error
