"""Small pictures that lie within a page."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from simclip.data.images import read_square

#: Of the longer side, pixels: twice what the page shows, for dense screens.
SIDE, QUALITY = 224, 70


@cache
def thumbnail(path: Path) -> str:
    """A picture as a data: address.

    Raises:
        InputError: It does not decode.
    """
    buffer = io.BytesIO()
    Image.fromarray(read_square(path, SIDE, _shrunk)).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def content_hash(path: Path) -> bytes:
    """Equal for files of the same bytes."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def _shrunk(image: Image.Image, side: int) -> np.ndarray:
    image.draft("RGB", (side, side))
    small = image.convert("RGB")
    small.thumbnail((side, side))
    return np.array(small)
