"""MNIST's files (IDX), and a few of its digits as a table of images and captions: the paper's rare set."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from simclip.config.training import Table
from simclip.errors import InputError
from simclip.prepare.annotations import Described
from simclip.prepare.write_table import writable, write_table
from simclip.runtime.randomness import generator

SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/"
#: The original's words.
CAPTION = "A MNIST digit of {}"
IMAGES, LABELS = 0x00000803, 0x00000801
GZIP = b"\x1f\x8b"


def read_mnist(folder: Path, part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """One part of MNIST.

    Args:
        folder: Holds train-images-idx3-ubyte and train-labels-idx1-ubyte, as they are or as .gz, itself or in
            MNIST/raw (where torchvision puts them).
        part: train, or t10k (the test digits).

    Returns:
        uint8 [n, height, width], white on black; and uint8 [n], which digit each is.

    Raises:
        InputError: A file is missing, is no such file, or is cut off; or the two do not belong together.
    """
    images_file, labels_file = (find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(images_file, IMAGES), read_idx(labels_file, LABELS)
    if len(images) != len(labels):
        raise InputError(f"{images_file} has {len(images)} images, {labels_file} {len(labels)} labels: not one set's")
    if len(labels) and labels.max() > 9:
        raise InputError(f"{labels_file}: label {labels.max()} is no digit")
    return images, labels


def find(folder: Path, name: str) -> Path:
    """A file under any of the names that it goes by.

    Raises:
        InputError: It is not there; the line says where to get it.
    """
    for place in (folder, folder / "MNIST" / "raw"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (place / spelling, place / f"{spelling}.gz"):
                if path.is_file():
                    return path
    raise InputError(
        f"MNIST: no {name} or {name}.gz in {folder}: download {SOURCE}{name}.gz and its like, and give their folder "
        "(--mnist-dir)"
    )


def read_idx(path: Path, magic: int) -> np.ndarray:
    """A file of unsigned bytes in the IDX format: magic number and sizes as big-endian int32, then the bytes.

    Raises:
        InputError: The magic number is another, or the file is shorter or longer than its sizes say.
    """
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} does not decompress ({error}): download it again") from error
    kind = "images" if magic == IMAGES else "labels"
    found = int.from_bytes(content[:4], "big")
    if len(content) < 4 or found != magic:
        raise InputError(f"{path} is no MNIST file of {kind}: its magic number is {found}, expected {magic}")
    begin = 4 + 4 * (magic & 0xFF)
    shape = np.frombuffer(content[4:begin], dtype=">i4").astype(np.int64) if len(content) >= begin else np.array([-1])
    if (shape < 0).any() or len(content) - begin != shape.prod():
        raise InputError(f"{path} has {len(content):,} bytes, expected {begin + max(0, shape.prod()):,} by its header: "
                         "download it again")  # fmt: skip
    return np.frombuffer(content, dtype=np.uint8, offset=begin).reshape(shape)


def draw_digits(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of a set, as evenly over the digits as they allow: 50 are five of each.

    A smaller draw is the beginning of a larger one.

    Args:
        labels: uint8 [n].
        count: How many, at most n.
        seed: Of the run.

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
    """A draw of MNIST's training digits, to be a training table.

    Attributes:
        source: MNIST's folder.
        count: How many.
        seed: Which.
        beside: Where a folder for them is made.
    """

    source: Path
    count: int
    seed: int
    beside: Path

    @property
    def table(self) -> Table:
        """The table that `write` makes."""
        folder = self.beside / f"mnist-{self.count}-seed{self.seed}"
        return Table(tsv=folder / "digits.tsv", image_dir=folder)

    def write(self, columns: Sequence[str] | None = None) -> str:
        """Write the digits as PNG files and the table; files that hold the same already stay untouched.

        Args:
            columns: The caption columns of the run, where they are given.

        Returns:
            A line that says how many there are of each digit.

        Raises:
            InputError: MNIST's files are missing or wrong (see `read_mnist`), or hold fewer digits.
        """
        images, labels = read_mnist(self.source)
        if self.count > len(labels):
            raise InputError(f"{self.count} MNIST digits: {self.source} has {len(labels):,} training digits")
        rows = draw_digits(labels, self.count, self.seed)
        described = [Described(f"{row:05d}.png", [CAPTION.format(labels[row])]) for row in rows]
        for row, each in zip(rows, described, strict=True):
            _write_png(self.table.image_dir / each.image, images[row])
        write_table(described, self.table.tsv, columns or ["caption1"])
        counts = np.bincount(labels[rows], minlength=10)
        of_each = ", ".join(f"{count} of {digit}" for digit, count in enumerate(counts) if count)
        return f"{self.table.tsv}: {self.count} MNIST digits to train on ({of_each})"


def write_test_digits(source: Path, folder: Path) -> str:
    """Write MNIST's test digits as PNG files into a folder for each digit: a classification set.

    Returns:
        A line that says where.

    Raises:
        InputError: MNIST's files are missing or wrong (see `read_mnist`).
    """
    images, labels = read_mnist(source, "t10k")
    for row, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        _write_png(folder / str(label) / f"{row:05d}.png", pixels)
    return f"{folder}: {len(labels):,} MNIST digits to classify, in a folder for each digit"


def _write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, unless it is there already."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    if not path.is_file() or path.read_bytes() != file.getvalue():
        with writable(path):
            path.write_bytes(file.getvalue())
