"""Every picture decoded once, into a file of uint8 squares that all processes of a node map into memory."""

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

from simclip.data.images import ImageFiles, Pictures, Transform, in_threads, read_square
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder, file_stamps, fingerprint, one_process
from simclip.runtime.progress import shown

log = logging.getLogger("simclip")

#: image_store=auto makes a store that takes at most this share of the disk space that is free.
FREE_SHARE = 0.5
#: Pictures that are decoded, written and noted as finished together.
BLOCK = 64
#: From one note of what is finished to the next: what a killed process has to decode again, at most.
NOTE_SECONDS = 1.0


class ImageStore(Dataset[torch.Tensor]):
    """Pictures in a file: uint8 [pictures, s, s, 3], mapped into memory and shared by all processes that read it.

    Args:
        file: A store that `open_pictures` has made.
        paths: Of each row's image.
        size: Side of a picture.
        places: int64 [rows], which picture of the file is each row's.
    """

    def __init__(self, file: Path, paths: Sequence[Path], size: int, places: np.ndarray) -> None:
        self.file, self.paths, self.size, self._places = file, paths, size, places
        shape = (int(places.max()) + 1, size, size, 3)
        self._pixels = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", shape=shape))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor does anybody write
            self._tensor = torch.from_numpy(self._pixels)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self._pixels[self._places[row]].copy()).permute(2, 0, 1)

    def batches(
        self, batches: Iterable[Sequence[int] | np.ndarray], workers: int = 0, pin: bool = False
    ) -> Iterator[torch.Tensor]:
        """See `Pictures.batches`; each batch is one indexed copy, and `workers` have nothing to do."""
        for rows in batches:
            places = self._places[np.asarray(rows)]
            if pin:
                shape = (len(places), *self._pixels.shape[1:])
                pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
                torch.index_select(self._tensor, 0, torch.from_numpy(places), out=pixels)
            else:  # numpy, whose memory comes in huge pages, and which leaves torch's threads to the model
                pixels = torch.from_numpy(np.take(self._pixels, places, axis=0))
            yield pixels.permute(0, 3, 1, 2)


def open_pictures(
    paths: Sequence[Path], size: int, transform: Transform, image_store: Literal["auto", "on", "off"] = "auto"
) -> Pictures:
    """The pictures of some files, from a store if there can be one; the pixels are the same in any case.

    The store is made if there is none of these files as they are now, of this transform and size. Other processes that
    want it at the same time wait for it. Work that was interrupted is taken up again.

    Args:
        paths: One for each row; a file that stands several times is stored once.
        size: Side of a picture.
        transform: What makes a square of an image.
        image_store: auto makes a store that takes at most half of the free disk; on makes it, or fails; off does not.

    Raises:
        InputError: An image does not decode, or `on` finds too little disk.
    """
    files = ImageFiles(paths, size, transform)
    if image_store == "off":
        return files
    place_of = {path: place for place, path in enumerate(dict.fromkeys(paths))}
    unique = ImageFiles(list(place_of), size, transform)
    versions = f"{transform.__name__} {size} Pillow {PIL.__version__} torch {torch.__version__}"
    key = fingerprint(file_stamps(unique.paths), versions.encode())
    store = cache_folder() / f"images-{transform.__name__}-{size}-{key}.u8"
    if not store.is_file():
        with one_process(store, "the image store"):
            if not store.is_file():
                if not _fits(_Part(store, unique), image_store):
                    return files
                _make(_Part(store, unique))
    return ImageStore(store, paths, size, np.array([place_of[path] for path in paths]))


class _Part:
    """A store that is being made: the pictures, then a byte for each block, 1 if it is finished."""

    def __init__(self, store: Path, files: ImageFiles) -> None:
        self.store, self.files = store, files
        self.path = store.with_suffix(".part")
        self.blocks = -(-len(files) // BLOCK)
        self.bytes = len(files) * files.size**2 * 3

    def written(self) -> int:
        """Bytes that it takes on the disk already."""
        return self.path.stat().st_blocks * 512 if self.path.is_file() else 0


def _fits(part: _Part, image_store: str) -> bool:
    """Whether there is disk enough.

    Raises:
        InputError: There is not, and the store has to be.
    """
    folder = part.store.parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = part.bytes - part.written(), shutil.disk_usage(folder).free
    need = f"{_gigabytes(needed)} for {len(part.files)} pictures of {part.files.size} pixels in {folder}"
    if image_store == "on" and needed > free:
        raise InputError(
            f"image_store on: it needs {need}, where {_gigabytes(free)} are free: free some, name a folder on a larger "
            "disk by SIMCLIP_CACHE, or set image_store to auto or off"
        )
    if image_store == "auto" and needed > FREE_SHARE * free:
        log.warning(
            "no image store, images are decoded each time they are used: it would take %s, more than %.0f%% of the %s "
            "that are free; image_store=on makes it all the same", need, 100 * FREE_SHARE, _gigabytes(free),
        )  # fmt: skip
        return False
    return True


def _make(part: _Part) -> None:
    begin = time.monotonic()
    handle = os.open(part.path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(handle).st_size != part.bytes + part.blocks:
            os.ftruncate(handle, 0)
            os.ftruncate(handle, part.bytes + part.blocks)
        _decode_what_is_missing(part, handle)
        os.fsync(handle)
    except (InputError, OSError) as error:
        part.path.unlink()  # a bad image is mended or left out, and a full disk is not left full: nobody takes this up
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the image store cannot be written to {part.path} ({error}): make room or set image_store=off"
        ) from error
    finally:
        os.close(handle)
    part.path.rename(part.store)
    others = sum(path.stat().st_size for path in part.store.parent.glob("images-*") if path.suffix in (".u8", ".part"))
    log.info(
        "image store: %d pictures of %d pixels made in %.1f s, %s in %s; all stores there take %s, delete what is no "
        "longer used", len(part.files), part.files.size, time.monotonic() - begin, _gigabytes(part.bytes), part.store,
        _gigabytes(others),
    )  # fmt: skip


def _decode_what_is_missing(part: _Part, handle: int) -> None:
    finished = np.frombuffer(os.pread(handle, part.blocks, part.bytes), dtype=np.uint8).copy()
    missing = np.flatnonzero(finished == 0)
    picture = part.files.size**2 * 3

    def decode(number: int) -> int:
        block = int(missing[number])
        paths = part.files.paths[block * BLOCK : (block + 1) * BLOCK]
        squares = [read_square(path, part.files.size, part.files.transform) for path in paths]
        _write(handle, np.stack(squares).data.cast("B"), block * BLOCK * picture)
        return block

    before = (part.blocks - len(missing)) * BLOCK
    noted = time.monotonic()
    with closing(in_threads(decode, len(missing))) as steps:  # the threads end before the file is closed
        for block in shown(steps, "decoding images", len(part.files), before, BLOCK):
            finished[block] = 1
            if time.monotonic() >= noted + NOTE_SECONDS:
                os.fsync(handle)  # the pictures are on the disk before the note that they are
                _write(handle, finished.data, part.bytes)
                noted = time.monotonic()


def _write(handle: int, content: memoryview, offset: int) -> None:
    while content:  # a disk that is nearly full takes a part
        count = os.pwrite(handle, content, offset)
        content, offset = content[count:], offset + count


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
