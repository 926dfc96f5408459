"""CIFAR-100's archive: every pixel and label as in a plain reading of it; nothing in it can run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from simclip.data.images import centre_crop, read_square
from simclip.errors import InputError
from simclip.evaluation.cifar import read_cifar

COUNT = 20


def content(seed: int = 0) -> tuple[dict[bytes, object], dict[bytes, object]]:
    random = np.random.default_rng(seed)
    test = {
        b"filenames": [b"x.png"] * COUNT, b"batch_label": b"testing batch 1 of 1", b"fine_labels": [*range(COUNT)],
        b"coarse_labels": [0] * COUNT, b"data": random.integers(0, 256, (COUNT, 3072), dtype=np.uint8),
    }  # fmt: skip
    meta = {b"fine_label_names": [f"class_{number:02d}".encode() for number in range(100)], b"coarse_label_names": []}
    return test, meta


class Python2(pickle._Pickler):
    """Pickles texts as the Python 2 did that wrote the real archive."""

    def save_text(self, text: bytes | str) -> None:
        content = text if isinstance(text, bytes) else text.encode()
        self.write(b"T" + struct.pack("<i", len(content)) + content)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, bytes: save_text, str: save_text}


def pickled(each: object) -> bytes:
    file = io.BytesIO()
    Python2(file, 2).dump(each)
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


def write_cifar(folder: Path, test: object, meta: object) -> tuple[Path, Path]:
    """The archive and the folder in it."""
    inside = folder / "cifar-100-python"
    inside.mkdir(exist_ok=True)
    for name, each in (("test", test), ("meta", meta), ("train", [0] * 999), ("file.txt~", "")):
        (inside / name).write_bytes(each if isinstance(each, bytes) else pickled(each))
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as tar:
        for name in ("file.txt~", "train", "test", "meta"):
            tar.add(inside / name, f"cifar-100-python/{name}")
    return folder / "cifar-100-python.tar.gz", inside


def test_every_pixel_and_label_is_that_of_a_plain_reading(tmp_path: Path) -> None:
    test, meta = content()
    for place in write_cifar(tmp_path, test, meta):
        images, labels, names = read_cifar(place)
        assert labels.tolist() == [*range(COUNT)] and names == [name.decode() for name in meta[b"fine_label_names"]]
        for row in (0, 7, COUNT - 1):
            plain = test[b"data"][row].reshape(3, 32, 32).transpose(1, 2, 0)  # as torchvision's CIFAR100 has it
            with Image.open(io.BytesIO(images[row].read_bytes())) as image:
                assert image.mode == "RGB" and (np.array(image) == plain).all()
            assert (read_square(images[row], 32, centre_crop) == plain).all()
        assert str(images[3]) == f"{place}/test/3"


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_in_the_archive_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test, meta = content()
    for place in write_cifar(tmp_path, {**test, b"data": Runs()}, meta):
        with pytest.raises(InputError, match=r"holds (posix|nt)\.mkdir, which no picture needs"):
            read_cifar(place)
    assert not (tmp_path / "ran").exists()


BAD: dict[str, tuple[dict[bytes, object] | bytes, str]] = {
    "no labels": ({b"data": np.zeros((1, 3072), np.uint8)}, "KeyError: b'fine_labels'"),
    "floats": ({b"data": np.zeros((1, 3072)), b"fine_labels": [0]}, "its data are float64"),
    "another size": ({b"data": np.zeros((1, 12), np.uint8), b"fine_labels": [0]}, r"its data are uint8 \(1, 12\)"),
    "a label beyond": ({b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [100]}, "its labels do not fit 100"),
    "cut off": (pickled(content()[0])[:-999], "damaged or not CIFAR-100"),
    "empty": (b"", "EOFError"),
    # An array of a terabyte, as numpy.ndarray((10**12,)) would make it.
    "a call of ndarray": (b"cnumpy\nndarray\n(I1000000000000\nt\x85R.", "damaged or not CIFAR-100"),
    "a great file": (bytes((1 << 26) + 1), "its file test is larger than CIFAR-100's"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_cifar_is_one_line(name: str, tmp_path: Path) -> None:
    test, message = BAD[name]
    for place in write_cifar(tmp_path, test, content()[1]):
        with pytest.raises(InputError, match=message) as caught:
            read_cifar(place)
        assert "\n" not in str(caught.value) and "download cifar-100-python.tar.gz" in str(caught.value)


def test_another_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"x.tar.gz is damaged or not CIFAR-100's archive"):
        read_cifar(tmp_path / "x.tar.gz")
