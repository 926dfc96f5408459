"""ImageStore: images decoded once into a file of uint8 squares, which all processes of a node map into memory."""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import torch
from torch.utils.data import Dataset

from simclip.data.images import ImageFiles, Pictures, Transform, read_square
from simclip.data.members import numbered
from simclip.data.picture import Picture
from simclip.data.picture_file import BLOCK, Exif, picture_stamps
from simclip.data.stored_checksums import CHECKSUM, StoredChecksums, checksum
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder, fingerprint, one_process
from simclip.runtime.progress import with_progress
from simclip.runtime.threads import in_threads

log = logging.getLogger("simclip")

#: Maximum share of the free disk space that a store may take under image_store=auto.
FREE_SHARE = 0.5
#: Seconds between marks of finished blocks: a killed process decodes at most this much again.
NOTE_SECONDS = 1.0


class ImageStore(Dataset[torch.Tensor]):
    """Images in a file, uint8 [images, s, s, 3], mapped into memory and shared by all processes that read it.

    Args:
        file: A store made by `open_pictures`.
        paths: Each row's image.
        size: Side of an image, in pixels.
        index: int64 [rows], number of each row's image in the file.
        part: The layout of the file, to check each image against its checksum; None checks nothing.
    """

    def __init__(
        self, file: Path, paths: Sequence[Picture], size: int, index: np.ndarray, part: _Part | None = None
    ) -> None:
        self.file, self.paths, self.size, self._index = file, paths, size, index
        shape = (int(index.max()) + 1, size, size, 3)
        self._pixels = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", shape=shape))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is only read
            self._tensor = torch.from_numpy(self._pixels)
        self._checksums = StoredChecksums(file, part.checksums, self._pixels, part.decode) if part else None

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, row: int) -> torch.Tensor:
        (pixels,) = self.batches([[row]])
        return pixels[0]

    def batches(
        self, batches: Iterable[Sequence[int] | np.ndarray], workers: int = 0, pin: bool = False
    ) -> Iterator[torch.Tensor]:
        """See `Pictures.batches`; each batch is one indexed copy, so `workers` is not used."""
        for rows in batches:
            chosen = self._index[np.asarray(rows)]
            if self._checksums:
                self._checksums.check(chosen)
            if pin:
                shape = (len(chosen), *self._pixels.shape[1:])
                pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
                torch.index_select(self._tensor, 0, torch.from_numpy(chosen), out=pixels)
            else:  # numpy allocates huge pages, and leaves torch's threads to the model
                pixels = torch.from_numpy(np.take(self._pixels, chosen, axis=0))
            yield pixels.permute(0, 3, 1, 2)


def open_pictures(
    paths: Sequence[Picture],
    size: int,
    transform: Transform,
    image_store: Literal["auto", "on", "off"] = "auto",
    exif: Exif = "ignore",
) -> Pictures:
    """Open image files, from a store if possible; the pixels are the same with and without one.

    A store is made unless there is one of the same files (unchanged), transform and size. Other processes that need it
    wait. An interrupted store is continued.

    Args:
        paths: Each row's image; repeated images are stored once.
        size: Side of an image, in pixels.
        transform: Makes a square from an image.
        image_store: "auto" makes a store if it takes at most half of the free disk, "on" makes it or fails, "off" reads
            the files.
        exif: Whether to turn images as their EXIF orientation says.

    Raises:
        InputError: An image does not decode, or the disk is too small under "on".
    """
    files = ImageFiles(paths, size, transform, exif)
    if image_store == "off":
        return files
    distinct, index = numbered(paths)
    unique = ImageFiles(distinct, size, transform, exif)
    versions = f"{transform.__name__} {size} Pillow {PIL.__version__} torch {torch.__version__}"
    key = fingerprint(picture_stamps(unique.paths, exif), versions.encode())
    store = cache_folder() / f"images-{transform.__name__}-{size}-{key}.u8"
    if not _is_whole(store, unique):
        with one_process(store, "the image store"):
            if not _is_whole(store, unique):
                if not _fits(_Part(store, unique), image_store):
                    return files
                _make(_Part(store, unique))
    return ImageStore(store, paths, size, index, _Part(store, unique))


def _is_whole(store: Path, files: ImageFiles) -> bool:
    """Whether a store is there with as many bytes as it should have; one of a version without checksums has fewer."""
    return store.is_file() and store.stat().st_size == _Part(store, files).total


class _Part:
    """An unfinished store: the images, a byte per block, 1 if it is finished, and a checksum per image."""

    def __init__(self, store: Path, files: ImageFiles) -> None:
        self.store, self.files = store, files
        self.path = store.with_suffix(".part")
        self.blocks = -(-len(files) // BLOCK)
        self.bytes = len(files) * files.size**2 * 3
        self.checksums = -(-(self.bytes + self.blocks) // CHECKSUM.itemsize) * CHECKSUM.itemsize
        self.total = self.checksums + len(files) * CHECKSUM.itemsize

    def decode(self, number: int) -> np.ndarray:
        """Decode an image from its own file."""
        files = self.files
        return read_square(files.paths[number], files.size, files.transform, files.exif)

    def written(self) -> int:
        """Number of bytes already on the disk."""
        return self.path.stat().st_blocks * 512 if self.path.is_file() else 0


def _fits(part: _Part, image_store: str) -> bool:
    """Whether the disk has room for a store.

    Raises:
        InputError: It has not, under image_store=on.
    """
    folder = part.store.parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = part.bytes - part.written(), shutil.disk_usage(folder).free
    need = f"{_gigabytes(needed)} for {len(part.files)} images of {part.files.size} pixels in {folder}"
    if image_store == "on" and needed > free:
        raise InputError(
            f"train.image_store=on needs {need}, but only {_gigabytes(free)} are free: make room, set SIMCLIP_CACHE "
            "to a folder on a larger disk, or set train.image_store=off"
        )
    if image_store == "auto" and needed > FREE_SHARE * free:
        log.warning(
            "no image store: it would take %s, more than %.0f%% of the free %s. Images are decoded on every use; set "
            "train.image_store=on to store them anyway", need, 100 * FREE_SHARE, _gigabytes(free),
        )  # fmt: skip
        return False
    return True


def _make(part: _Part) -> None:
    begin = time.monotonic()
    handle = os.open(part.path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(handle).st_size != part.total:
            os.ftruncate(handle, 0)
            os.ftruncate(handle, part.total)
        _decode_missing(part, handle)
        os.fsync(handle)
    except (InputError, OSError) as error:
        part.path.unlink()  # not continued: a bad image changes the store's name, and a full disk needs room
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the image store cannot be written to {part.path} ({error}): make room or set train.image_store=off"
        ) from error
    finally:
        os.close(handle)
    part.path.rename(part.store)
    others = sum(path.stat().st_size for path in part.store.parent.glob("images-*") if path.suffix in (".u8", ".part"))
    log.info(
        "image store: %d images of %d pixels decoded in %.1f s, %s in %s; all stores there take %s, delete those that "
        "are no longer used", len(part.files), part.files.size, time.monotonic() - begin, _gigabytes(part.bytes),
        part.store, _gigabytes(others),
    )  # fmt: skip


def _decode_missing(part: _Part, handle: int) -> None:
    finished = np.frombuffer(os.pread(handle, part.blocks, part.bytes), dtype=np.uint8).copy()
    missing = np.flatnonzero(finished == 0)
    picture = part.files.size**2 * 3

    def decode(number: int) -> int:
        block = int(missing[number])
        first = block * BLOCK
        squares = [part.decode(each) for each in range(first, min(first + BLOCK, len(part.files)))]
        _write(handle, np.stack(squares).data.cast("B"), first * picture)
        sums = b"".join(map(checksum, squares))
        _write(handle, memoryview(sums), part.checksums + first * CHECKSUM.itemsize)
        return block

    before = (part.blocks - len(missing)) * BLOCK
    noted = time.monotonic()
    with closing(in_threads(decode, len(missing))) as steps:  # ends the threads before the file is closed
        for block in with_progress(steps, "decoding images", len(part.files), before, BLOCK):
            finished[block] = 1
            if time.monotonic() >= noted + NOTE_SECONDS:
                os.fsync(handle)  # images reach the disk before the mark that they are finished
                _write(handle, finished.data, part.bytes)
                noted = time.monotonic()


def _write(handle: int, content: memoryview, offset: int) -> None:
    while content:  # a nearly full disk accepts a part
        count = os.pwrite(handle, content, offset)
        content, offset = content[count:], offset + count


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
