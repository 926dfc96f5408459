"""CIFAR-100's test pictures, from its own archive (cifar-100-python.tar.gz) or the folder in it."""

from __future__ import annotations

import io
import pickle
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from simclip.data.members import Members
from simclip.data.picture import Shard
from simclip.errors import InputError

TEST, META = "test", "meta"
SIDE = 32
#: Maximum number of bytes of the two files, and of the whole archive when it is unpacked; the real ones are half of it.
LIMITS = {TEST: 1 << 26, META: 1 << 20}
MAX_ARCHIVE = 1 << 29


class Cifar(NamedTuple):
    """Pictures and their classes.

    Attributes:
        pixels: uint8 [n, 3, 32, 32].
        labels: int64 [n].
        names: The name of each class, with underscores.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: list[str]


def is_cifar(place: Path) -> bool:
    """Whether a place is an archive, or the folder cifar-100-python."""
    return place.is_file() or all((place / name).is_file() for name in (TEST, META))


def read_cifar(place: Path) -> tuple[Members, np.ndarray, list[str]]:
    """The test pictures, the class of each, int64 [n], and the names of the classes.

    Raises:
        InputError: It is not CIFAR-100, or it is damaged.
    """
    file = place if place.is_file() else place / TEST
    _, labels, names = _loaded(file, file.stat().st_mtime_ns)
    rows = np.arange(len(labels))
    keys = pa.array([f"{TEST}/{row}" for row in rows])
    shard = Shard(file, str(place), read_bytes)
    return Members([shard], np.zeros(len(rows), np.int32), rows, np.zeros_like(rows), keys), labels, names


def read_bytes(file: Path, row: int, _: int) -> bytes:
    """A picture in the format PPM, which keeps every pixel."""
    pixels = _loaded(file, file.stat().st_mtime_ns).pixels[row]
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + pixels.transpose(1, 2, 0).tobytes()


@lru_cache(maxsize=1)
def _loaded(file: Path, stamp: int) -> Cifar:
    try:
        files = {name: (file.with_name(name).open("rb")) for name in LIMITS} if file.name == TEST else _unpacked(file)
        test, meta = (_unpickled(name, files[name]) for name in LIMITS)
        pixels, labels = test[b"data"], np.array(test[b"fine_labels"], dtype=np.int64)
        names = [name.decode() for name in meta[b"fine_label_names"]]
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * SIDE**2) or not len(labels):
            raise ValueError(f"its data are {pixels.dtype} {pixels.shape} for {len(labels)} labels")
        if not 0 <= labels.min() <= labels.max() < len(names):
            raise ValueError(f"its labels do not fit {len(names)} names")
    except (*(OSError, EOFError, tarfile.TarError, pickle.UnpicklingError, MemoryError, OverflowError, RecursionError),
            LookupError, TypeError, ValueError, AttributeError) as error:  # fmt: skip
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{file} is damaged or not CIFAR-100's archive for Python ({said:.200}): download cifar-100-python.tar.gz"
        ) from None
    return Cifar(pixels.reshape(-1, 3, SIDE, SIDE), labels, names)


def _unpacked(archive: Path) -> dict[str, BinaryIO]:
    """The two files in an archive."""
    found: dict[str, BinaryIO] = {}
    with tarfile.open(archive, "r:*") as tar:
        while len(found) < len(LIMITS) and (member := tar.next()) is not None:
            if tar.offset > MAX_ARCHIVE or member.size < 0:
                raise ValueError("it is larger than CIFAR-100")
            name = member.name.rpartition("/")[2]
            if member.isreg() and name in LIMITS:
                content = tar.extractfile(member)
                found[name] = io.BytesIO(content.read(LIMITS[name] + 1) if content else b"")
    return found


def _unpickled(name: str, file: BinaryIO) -> Any:
    with file:
        content = file.read(LIMITS[name] + 1)
    if len(content) > LIMITS[name]:
        raise ValueError(f"its file {name} is larger than CIFAR-100's")
    return _Arrays(io.BytesIO(content), encoding="bytes").load()


class _Arrays(pickle.Unpickler):
    """Reads lists, texts, numbers and numpy's arrays. Any other class is refused, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _empty
        if module == "numpy" and name in ("ndarray", "dtype"):
            return np.dtype if name == "dtype" else "ndarray"  # the latter is only handed to _empty
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which no picture needs")


def _empty(*_: Any) -> np.ndarray:
    """An array whose shape and content the file sets next."""
    return np.empty(0, np.uint8)
