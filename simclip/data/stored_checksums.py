"""The checksums of an image store's pictures, checked when a picture is first read."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

log = logging.getLogger("simclip")

#: Type of a checksum in the file: a CRC-32, which takes 0.1 ms for a picture of 256 pixels.
CHECKSUM = np.dtype("<u4")


class StoredChecksums:
    """Checks pictures once per process; a damaged one is decoded again, and mended in the file.

    Args:
        store: The store's file.
        offset: Where its checksums begin, in bytes.
        pixels: uint8 [pictures, s, s, 3], the store's pictures, mapped into memory; a mended one shows there at once.
        decode: Decodes a picture from its own file, by its number: uint8 [s, s, 3].
    """

    def __init__(self, store: Path, offset: int, pixels: np.ndarray, decode: Callable[[int], np.ndarray]) -> None:
        self._store, self._offset, self._pixels, self._decode = store, offset, pixels, decode
        self._sums = np.asarray(np.memmap(store, CHECKSUM, "r", offset, (len(pixels),)))
        self._unchecked = np.ones(len(pixels), dtype=bool)

    def check(self, numbers: np.ndarray) -> None:
        """Check the pictures of these numbers, int64 [n], that this process has not read before.

        Raises:
            InputError: A damaged picture's own file no longer decodes.
            OSError: The store cannot be mended.
        """
        for number in np.unique(numbers[self._unchecked[numbers]]):
            if zlib.crc32(self._pixels[number].data) != self._sums[number]:
                self._mend(int(number))
        self._unchecked[numbers] = False

    def _mend(self, number: int) -> None:
        log.warning("%s: picture %d is damaged and is decoded again; has the disk had errors?", self._store, number)
        square = self._decode(number)
        handle = os.open(self._store, os.O_WRONLY)
        try:
            os.pwrite(handle, square.data.cast("B"), number * square.nbytes)
            os.pwrite(handle, checksum(square), self._offset + number * CHECKSUM.itemsize)
        finally:
            os.close(handle)


def checksum(square: np.ndarray) -> bytes:
    """The checksum of a picture as the file holds it."""
    return np.array(zlib.crc32(np.ascontiguousarray(square).data), CHECKSUM).tobytes()
