"""MNIST's files as they are published, wrong ones, and a few digits as a training table."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simclip.data.pair_table import read_table
from simclip.errors import InputError
from simclip.evaluation.kinds.classification import ClassificationSet
from simclip.prepare.mnist import Digits, draw_digits, read_mnist, write_test_digits

LABELS = np.random.default_rng(0).integers(0, 10, 60, dtype=np.uint8)
PIXELS = np.random.default_rng(1).integers(0, 256, (60, 28, 28), dtype=np.uint8)


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    """A file as its format is described: 0, 0, 8 for unsigned bytes, the number of sizes, the sizes, the data."""
    head = bytes([0, 0, 8, array.ndim]) if magic is None else magic.to_bytes(4, "big")
    return head + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_mnist(folder: Path, images: bytes = idx(PIXELS), labels: bytes = idx(LABELS), part: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def zipped(folder: Path) -> None:
    for path in folder.iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def as_torchvision(folder: Path) -> None:
    inner = folder / "MNIST" / "raw"
    inner.mkdir(parents=True)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(inner / path.name)


def with_dots(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))


@pytest.mark.parametrize("lay", [lambda folder: None, zipped, as_torchvision, with_dots])
def test_files_are_found_however_they_lie(lay: Callable[[Path], None], tmp_path: Path) -> None:
    lay(write_mnist(tmp_path / "mnist"))
    images, labels = read_mnist(tmp_path / "mnist")
    assert np.array_equal(images, PIXELS)
    assert np.array_equal(labels, LABELS)


def test_absent_files_are_named_with_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train-images-idx3-ubyte .*download https://.*train-images-idx3-ubyte.gz"):
        read_mnist(tmp_path / "none")
    write_mnist(tmp_path)
    with pytest.raises(InputError, match="no t10k-images-idx3-ubyte"):
        read_mnist(tmp_path, "t10k")


WRONG = {
    "labels for images": ({"images": idx(LABELS)}, "not an MNIST file of images: its magic number is 2049"),
    "images for labels": ({"labels": idx(PIXELS)}, "MNIST file of labels: its magic number is 2051, expected 2049"),
    "a web page": ({"images": b"<!DOCTYPE html><html>"}, "train-images-idx3-ubyte is not an MNIST file of images"),
    "nothing": ({"images": b""}, "not an MNIST file of images"),
    "a header cut off": ({"images": idx(PIXELS)[:10]}, "has 10 bytes"),
    "cut off": ({"images": idx(PIXELS)[:-1]}, r"has 47,055 bytes, expected 47,056 by its header: download it again"),
    "too long": ({"labels": idx(LABELS) + b"x"}, r"has more bytes than its header says, 68: download it again"),
    "gzip cut off": ({"images": gzip.compress(idx(PIXELS))[:-20]}, r"does not decompress \(.*\): download it again"),
    "gzip broken": ({"images": gzip.compress(idx(PIXELS))[:40] + b"x" * 99}, "does not decompress"),
    "a huge header": (
        {"images": gzip.compress(struct.pack(">IIII", 2051, 2**31 - 1, 2**15, 2**15))},
        r"its header says .* bytes, more than 1,073,741,824",
    ),
    "another set's labels": ({"labels": idx(LABELS[:59])}, "60 images, .* 59 labels: use files of one set"),
    "letters": ({"labels": idx(LABELS + 20)}, r"label 2\d is not a digit"),
    "colour": ({"images": idx(PIXELS[..., None])}, "magic number is 2052"),
}


def test_a_gzip_bomb_takes_no_memory(tmp_path: Path) -> None:
    write_mnist(tmp_path, gzip.compress(idx(PIXELS) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="more bytes than its header says"):
            read_mnist(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_one_line(case: str, tmp_path: Path) -> None:
    content, message = WRONG[case]
    write_mnist(tmp_path, **content)
    with pytest.raises(InputError, match=message) as caught:
        read_mnist(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(0, 99), st.data())
def test_a_draw_is_even_and_the_beginning_of_a_larger_one(digits: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.array(digits, dtype=np.uint8)
    count = data.draw(st.integers(1, len(digits)))
    rows = draw_digits(labels, count, seed)
    assert len(set(rows.tolist())) == count
    assert rows.tolist() == draw_digits(labels, len(digits), seed).tolist()[:count]
    drawn, there = np.bincount(labels[rows], minlength=10), np.bincount(labels, minlength=10)
    left = drawn[drawn < there]
    assert not len(left) or drawn.max() - left.min() <= 1


def test_fifty_are_five_of_each_and_another_seed_draws_others() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 100)
    draws = [draw_digits(labels, 50, seed) for seed in (1, 2)]
    assert all(np.bincount(labels[rows]).tolist() == [5] * 10 for rows in draws)
    assert len(np.intersect1d(*draws)) < 25


def test_digits_are_a_training_table(tmp_path: Path) -> None:
    digits = Digits(write_mnist(tmp_path / "mnist"), 12, 3, tmp_path / "ckpts")
    line = digits.write()
    assert line.startswith(f"{digits.table.tsv}: 12 MNIST digits to train on (")
    table = read_table(digits.table.tsv, digits.table.image_dir)
    assert len(table) == 12
    for path, caption in zip(table.images, table.captions, strict=True):
        row = int(path.stem)
        assert np.array_equal(np.array(Image.open(path)), PIXELS[row])
        assert caption == f"A MNIST digit of {LABELS[row]}"


def test_written_again_they_stay_untouched_and_damage_is_mended(tmp_path: Path) -> None:
    digits = Digits(write_mnist(tmp_path / "mnist"), 12, 3, tmp_path / "ckpts")
    digits.write()
    files = sorted(digits.table.image_dir.glob("*.png"))
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in files]
    files[0].write_bytes(b"")
    digits.write()
    assert [path.read_bytes() for path in files] == [content for _, content in before]
    assert [path.stat().st_mtime_ns for path in files[1:]] == [time for time, _ in before[1:]]


def test_test_digits_are_a_classification_set(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", part="t10k")
    assert "60 MNIST digits to classify" in write_test_digits(tmp_path / "mnist", tmp_path / "digits")
    classes = ClassificationSet(name="digits", image_dir=tmp_path / "digits")._class_folders()
    assert [len(paths) for paths in classes.values()] == np.bincount(LABELS).tolist()
    for folder, paths in classes.items():
        for path in paths:
            assert LABELS[int(path.stem)] == int(folder)
            assert np.array_equal(np.array(Image.open(path)), PIXELS[int(path.stem)])


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file.mnist-5-seed1.\d+.png cannot be written: Not a directory"):
        Digits(write_mnist(tmp_path), 5, 1, tmp_path / "file").write()


def test_more_digits_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"61 MNIST digits: .* has only 60; ask for fewer"):
        Digits(write_mnist(tmp_path), 61, 1, tmp_path).write()
