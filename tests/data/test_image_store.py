"""The image store: the pixels that decoding gives, made once, whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import shutil
from binascii import crc32
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simclip.data import image_store, stored_checksums
from simclip.data.image_store import ImageStore, open_pictures
from simclip.data.images import ImageFiles, Transform, centre_crop, read_image, resize_antialiased
from simclip.errors import InputError
from simclip.runtime import progress
from tests.data.stores import assert_holds, draw, parts, stores


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five small pictures."""
    return [draw(tmp_path / f"{number}.png", number) for number in range(5)]


@pytest.mark.parametrize("transform", [resize_antialiased, centre_crop])
def test_the_pixels_are_those_of_decoding(transform: Transform, tmp_path: Path) -> None:
    """Of every kind of file, with rotation in its EXIF and without, row by row and in batches of any order."""
    ground = Image.effect_mandelbrot((90, 61), (-3, -2.5, 2, 2.5), 50)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, which nobody does, here or there
    paths = []
    for number, (mode, suffix) in enumerate(
        [("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("1", "png"),
         ("LA", "png"), ("I;16", "png"), ("P", "gif"), ("RGB", "webp"), ("RGB", "bmp")]
    ):  # fmt: skip
        paths.append(tmp_path / f"{number}.{suffix}")
        ground.convert(mode).save(paths[-1], **({"exif": exif} if number in (0, 3) else {}))
    stored = open_pictures(paths, 17, transform, "on")
    decoded = open_pictures(paths, 17, transform, "off")
    assert isinstance(stored, ImageStore) and isinstance(decoded, ImageFiles)
    assert len(stored) == len(decoded) == 12 and stored.size == decoded.size == 17
    for row in range(12):
        assert stored[row].dtype == torch.uint8 and torch.equal(stored[row], decoded[row])
    for workers in (0, 2):
        batches = [[3, 0, 11], [5], np.array([7, 7, 1, 2])]
        for one, other in zip(stored.batches(batches), decoded.batches(batches, workers), strict=True):
            assert torch.equal(one, other) and one.stride() == other.stride()
            assert one.is_contiguous(memory_format=torch.channels_last)


def test_a_store_is_made_once_and_found_again(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)
    (store,) = stores()
    stamp = store.stat().st_mtime_ns
    monkeypatch.setattr(image_store, "read_square", lambda *_: pytest.fail("decoded again"))
    assert len(open_pictures(paths, 8, resize_antialiased)) == 5
    assert stores() == [store] and store.stat().st_mtime_ns == stamp and not parts()


def test_batches_do_not_change_the_store_or_each_other(paths: list[Path]) -> None:
    pictures = open_pictures(paths, 8, resize_antialiased)
    first, second = pictures.batches([[0, 1], [0, 1]])
    first.zero_()
    pictures[0].zero_()
    assert torch.equal(second, torch.stack([read_image(path, 8, resize_antialiased) for path in paths[:2]]))
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


def test_a_picture_that_stands_twice_is_stored_once(paths: list[Path]) -> None:
    rows = [paths[place] for place in (3, 3, 0, 1, 0, 3)]
    pictures = open_pictures(rows, 8, resize_antialiased)
    assert_holds(pictures, rows, 8)
    assert len(pictures) == 6 and list(pictures.paths) == rows
    assert stores()[0].stat().st_size < 4 * 8 * 8 * 3


def test_other_files_sizes_and_transforms_have_other_stores(paths: list[Path], tmp_path: Path) -> None:
    open_pictures(paths, 8, resize_antialiased)
    for count, (of, size, transform) in enumerate(
        [
            (paths, 9, resize_antialiased),
            (paths, 8, centre_crop),
            (paths[:4], 8, resize_antialiased),
            (paths[::-1], 8, resize_antialiased),
        ],
        start=2,
    ):
        assert_holds(open_pictures(of, size, transform), of, size, transform)
        assert len(stores()) == count
    draw(paths[2], seed=99)
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)
    assert len(stores()) == 6
    shutil.copytree(tmp_path, tmp_path / "copy")
    copies = [tmp_path / "copy" / path.name for path in paths]
    assert_holds(open_pictures(copies, 8, resize_antialiased), copies, 8)


def test_relative_paths_share_the_store(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_pictures(paths, 8, resize_antialiased)
    monkeypatch.chdir(tmp_path)
    open_pictures([Path(path.name) for path in paths], 8, resize_antialiased)
    assert len(stores()) == 1


@pytest.mark.parametrize("bad", [0, 70, 199])
def test_a_bad_image_is_named_and_nothing_is_left(bad: int, tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.png", number) for number in range(200)]
    paths[bad].write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(InputError, match=rf"{bad}\.png cannot be read as an image .*train\.bad_images=skip$"):
            open_pictures(paths, 8, resize_antialiased)
        assert not stores() and not parts()
    draw(paths[bad], seed=bad)
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


@pytest.mark.parametrize("place", [0, 2 * 192 + 7, 4 * 192 + 191, -1, -20])
def test_a_flipped_bit_is_noticed_and_mended(place: int, paths: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    """Of a picture, or of its checksum at the end of the file."""
    open_pictures(paths, 8, resize_antialiased)
    (store,) = stores()
    whole = store.read_bytes()
    spoilt = bytearray(whole)
    spoilt[place] ^= 16
    store.write_bytes(spoilt)
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)
    assert re.search(rf"{store}: picture \d is damaged and is decoded again", caplog.text)
    assert store.read_bytes() == whole
    caplog.clear()
    assert torch.equal(open_pictures(paths, 8, resize_antialiased)[4], read_image(paths[4], 8, resize_antialiased))
    assert not caplog.text


def test_a_store_of_a_version_without_checksums_is_made_again(paths: list[Path]) -> None:
    open_pictures(paths, 8, resize_antialiased)
    (store,) = stores()
    store.write_bytes(b"\0" * (5 * 192 + 1))
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


def test_a_picture_is_checked_once_per_process(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, read = open_pictures(paths, 8, resize_antialiased), []
    monkeypatch.setattr(stored_checksums.zlib, "crc32", lambda pixels: read.append(crc32(pixels)) or read[-1])
    for _ in pictures.batches([[0, 1], [1, 2], [0, 1, 2, 2], [4]]):
        pass
    assert len(read) == 4


def test_the_log_says_where_it_lies_and_how_large_all_are(
    paths: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "simclip")
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    open_pictures(paths, 8, resize_antialiased)
    open_pictures(paths, 16, resize_antialiased)
    assert re.search(r"decoding images: 5 of 5 \(100%\), [\d.]+/s, 0 s left", caplog.text)
    line = caplog.messages[-1]
    assert str(max(stores(), key=os.path.getmtime)) in line
    total = sum(store.stat().st_size for store in stores())
    assert re.search(r"5 images of 16 pixels decoded in [\d.]+ s, 3.84e-06 GB", line)
    assert f"all stores there take {total / 1e9:.3g} GB" in line
