"""Read MNIST's IDX files, and write some digits as a table of images and captions: the paper's rare set."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from simclip.data.table import Table
from simclip.errors import InputError
from simclip.prepare.annotations import Described
from simclip.prepare.write_table import writable, write_table
from simclip.runtime.randomness import generator

SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/"
#: The caption of the original implementation.
CAPTION = "A MNIST digit of {}"
IMAGES, LABELS = 0x00000803, 0x00000801
GZIP = b"\x1f\x8b"
#: Maximum number of bytes of images that a file may hold; MNIST has 47 million.
LARGEST = 2**30


def read_mnist(folder: Path, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Read one part of MNIST.

    Args:
        folder: Contains train-images-idx3-ubyte and train-labels-idx1-ubyte, gzipped or not, directly or in MNIST/raw
            (as torchvision stores them).
        part: `train`, or `t10k` for the test digits.

    Returns:
        Images, uint8 [n, height, width], white on black; and their digits, uint8 [n].

    Raises:
        InputError: A file is missing, cut off or in another format, or the two do not belong together.
    """
    images_file, labels_file = (find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(images_file, IMAGES), read_idx(labels_file, LABELS)
    if len(images) != len(labels):
        raise InputError(
            f"{images_file} has {len(images)} images, {labels_file} {len(labels)} labels: use files of one set"
        )
    if len(labels) and labels.max() > 9:
        raise InputError(f"{labels_file}: label {labels.max()} is not a digit: download it again")
    return images, labels


def find(folder: Path, name: str) -> Path:
    """Find a file under any of its usual names.

    Raises:
        InputError: It is missing; the message says where to download it.
    """
    for place in (folder, folder / "MNIST" / "raw"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (place / spelling, place / f"{spelling}.gz"):
                if path.is_file():
                    return path
    raise InputError(
        f"MNIST: no {name} or {name}.gz in {folder}: download {SOURCE}{name}.gz and the other three files, and give "
        "their folder with --mnist-dir"
    )


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes: magic number and sizes as big-endian int32, then the data.

    Raises:
        InputError: The magic number is wrong, the sizes are huge, or the file's length does not match them.
    """
    kind = "images" if magic == IMAGES else "labels"
    begin = 4 + 4 * (magic & 0xFF)
    try:
        with _opened(path) as file:
            header = file.read(begin)
            found = int.from_bytes(header[:4], "big")
            if len(header) < 4 or found != magic:
                raise InputError(
                    f"{path} is not an MNIST file of {kind}: its magic number is {found}, expected {magic}"
                )
            shape = struct.unpack(f">{magic & 0xFF}I", header[4:]) if len(header) == begin else (0,)
            expected = math.prod(shape)
            if expected > LARGEST:
                raise InputError(
                    f"{path}: its header says {expected:,} bytes, more than {LARGEST:,}: download it again"
                )
            content = file.read(expected + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} does not decompress ({error}): download it again") from error
    if len(content) > expected:
        raise InputError(f"{path} has more bytes than its header says, {begin + expected:,}: download it again")
    if len(header) < begin or len(content) < expected:
        size = len(header) + len(content)
        raise InputError(f"{path} has {size:,} bytes, expected {begin + expected:,} by its header: download it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file, decompressed if it is gzipped."""
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    return gzip.open(path, "rb") if zipped else path.open("rb")


def draw_digits(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows of a set as evenly over the digits as possible: 50 rows are five of each.

    A smaller draw is a prefix of a larger one.

    Args:
        labels: Digits, uint8 [n].
        count: Number of rows, at most n.
        seed: Seed of the draw.

    Returns:
        int64 [count].
    """
    turns = np.empty(len(labels), dtype=np.int64)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        turns[generator(seed, "mnist", int(digit)).permutation(rows)] = np.arange(len(rows))
    order = generator(seed, "mnist digits").permutation(10)[labels]
    return np.lexsort((order, turns))[:count]


@dataclass(frozen=True)
class Digits:
    """A draw of MNIST's training digits, as a training table.

    Attributes:
        source: Folder of MNIST's files.
        count: Number of digits.
        seed: Seed of the draw.
        beside: Folder in which a folder for the digits is made.
    """

    source: Path
    count: int
    seed: int
    beside: Path

    @property
    def folder(self) -> Path:
        """The folder that `write` writes."""
        return self.beside / f"mnist-{self.count}-seed{self.seed}"

    @property
    def table(self) -> Table:
        """The table in it."""
        return Table(tsv=self.folder / "digits.tsv", image_dir=self.folder)

    def write(self, columns: Sequence[str] | None = None) -> str:
        """Write the digits as PNG files, and the table. Files that already have this content are not touched.

        Args:
            columns: Caption columns of the run; by default caption1.

        Returns:
            A line with the number of each digit.

        Raises:
            InputError: MNIST's files are missing or wrong (see `read_mnist`), or have too few digits.
        """
        images, labels = read_mnist(self.source)
        if self.count > len(labels):
            raise InputError(f"{self.count} MNIST digits: {self.source} has only {len(labels):,}; ask for fewer")
        rows = draw_digits(labels, self.count, self.seed)
        described = [Described(f"{row:05d}.png", [CAPTION.format(labels[row])]) for row in rows]
        for row, each in zip(rows, described, strict=True):
            _write_png(self.folder / each.image, images[row])
        write_table(described, self.folder / "digits.tsv", columns or ["caption1"])
        counts = np.bincount(labels[rows], minlength=10)
        of_each = ", ".join(f"{count} of {digit}" for digit, count in enumerate(counts) if count)
        return f"{self.table.tsv}: {self.count} MNIST digits to train on ({of_each})"


def write_test_digits(source: Path, folder: Path) -> str:
    """Write MNIST's test digits as PNG files, one folder per digit: a classification set.

    Returns:
        A line that says where they are.

    Raises:
        InputError: MNIST's files are missing or wrong (see `read_mnist`).
    """
    images, labels = read_mnist(source, "t10k")
    for row, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        _write_png(folder / str(label) / f"{row:05d}.png", pixels)
    return f"{folder}: {len(labels):,} MNIST digits to classify, one folder per digit"


def _write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, unless the file already has this content."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    if not path.is_file() or path.read_bytes() != file.getvalue():
        with writable(path):
            path.write_bytes(file.getvalue())
