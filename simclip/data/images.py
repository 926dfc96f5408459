"""Read image files as uint8 squares: resized for training, centre-cropped exactly as OpenCLIP does for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from simclip.data.picture import Picture
from simclip.data.picture_file import Exif, open_picture
from simclip.errors import InputError

#: Makes a square, uint8 [side, side, 3], from an opened image and the side in pixels.
Transform = Callable[[Image.Image, int], np.ndarray]


def resize_antialiased(image: Image.Image, size: int) -> np.ndarray:
    """Resize the whole image to a square with antialiasing; JPEG files are decoded at reduced size if possible."""
    image.draft("RGB", (size, size))
    pixels = torch.from_numpy(np.array(image if image.mode == "RGB" else image.convert("RGB")))
    square = F.interpolate(pixels[None].permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True)
    return np.ascontiguousarray(square[0].permute(1, 2, 0).numpy())


def centre_crop(image: Image.Image, size: int) -> np.ndarray:
    """Resize the shorter side, then crop the middle square: OpenCLIP's evaluation transform, to the bit.

    As in torchvision, the long side is rounded down and the crop's offset half to even.
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
    return np.array(resized.crop((left, top, left + size, top + size)).convert("RGB"))


def resize_bicubic(image: Image.Image, size: int) -> np.ndarray:
    """Resize the whole image to a square, to the bit as transformers' Pillow processors do without a crop."""
    return np.array(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def read_square(path: Picture, size: int, transform: Transform, exif: Exif = "ignore") -> np.ndarray:
    """Decode an image file.

    Returns:
        uint8 [size, size, 3].

    Raises:
        InputError: The file does not decode or is a decompression bomb.
    """
    with open_picture(path, exif) as image:
        return transform(image, size)


def read_image(path: Picture, size: int, transform: Transform, exif: Exif = "ignore") -> torch.Tensor:
    """Decode an image file to a tensor, uint8 [3, size, size], channels last in memory."""
    return torch.from_numpy(read_square(path, size, transform, exif)).permute(2, 0, 1)


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Standardise pixels for evaluation, in torchvision's (and OpenCLIP's) order of operations: equal to the bit.

    Args:
        pixels: uint8 [n, 3, s, s].
        mean: Mean of each channel, for values from 0 to 1.
        std: Standard deviation of each channel.

    Returns:
        float32 of the same shape, channels last in memory.
    """
    count, _, height, width = pixels.shape
    # 255 as a tensor: CUDA would multiply by the rounded reciprocal of a plain number.
    full, middle, deviation = (torch.tensor(each, device=pixels.device) for each in (255.0, mean, std))
    lines = pixels.permute(0, 2, 3, 1).flatten(2)  # whole lines as vectors are faster on a CPU
    normal = torch.div(lines, full).sub_(middle.repeat(width)).div_(deviation.repeat(width))
    return normal.view(count, height, width, 3).permute(0, 3, 1, 2)


class Pictures(Protocol):
    """Images of the rows as uint8 squares of one size, decoded on demand or read from a store.

    Attributes:
        paths: Each row's image.
        size: Side of a square, in pixels.
    """

    paths: Sequence[Picture]
    size: int

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> torch.Tensor:
        """uint8 [3, s, s]."""
        ...

    def batches(
        self, batches: Iterable[Sequence[int] | np.ndarray], workers: int = 0, pin: bool = False
    ) -> Iterator[torch.Tensor]:
        """Read batches of rows on demand.

        Args:
            batches: Rows of each batch.
            workers: Number of decoding processes, if images are decoded; 0 decodes in this process.
            pin: Whether to use page-locked memory, for fast copies to a GPU.

        Yields:
            uint8 [n, 3, s, s], channels last in memory.

        Raises:
            InputError: An image does not decode.
        """
        ...


class ImageFiles(Dataset[torch.Tensor]):
    """Image files as uint8 squares, decoded on demand."""

    def __init__(self, paths: Sequence[Picture], size: int, transform: Transform, exif: Exif = "ignore") -> None:
        self.paths, self.size, self.transform, self.exif = paths, size, transform, exif

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return read_image(self.paths[row], self.size, self.transform, self.exif)

    def batches(
        self, batches: Iterable[Sequence[int] | np.ndarray], workers: int = 0, pin: bool = False
    ) -> Iterator[torch.Tensor]:
        """See `Pictures.batches`."""
        loader = DataLoader(
            self,
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_stack,
            generator=torch.Generator(),  # the default draws from the global generator
        )
        try:
            for pixels in loader:
                yield pixels.pin_memory() if pin else pixels
        except InputError as error:
            # A decoding process sends its traceback as the message; its last line is the error's own.
            line = str(error).strip().splitlines()[-1]
            raise InputError(line.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")) from error


def _stack(squares: list[torch.Tensor]) -> torch.Tensor:
    # numpy leaves torch's threads to the model
    return torch.from_numpy(np.stack([square.permute(1, 2, 0).numpy() for square in squares])).permute(0, 3, 1, 2)
