"""The image store: the pixels that decoding gives, made once, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from binascii import crc32
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from simclip.data import image_store, stored_checksums
from simclip.data.image_store import BLOCK, ImageStore, open_pictures
from simclip.data.images import ImageFiles, Pictures, Transform, centre_crop, read_image, resize_antialiased
from simclip.errors import InputError
from simclip.runtime import progress
from simclip.runtime.cache import cache_folder

ROOT = Path(__file__).parents[2]


def draw(path: Path, seed: int = 0, width: int = 24, height: int = 18) -> Path:
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five small pictures."""
    return [draw(tmp_path / f"{number}.png", number) for number in range(5)]


def stores() -> list[Path]:
    return sorted(cache_folder().glob("images-*.u8"))


def parts() -> list[Path]:
    return sorted(cache_folder().glob("images-*.part"))


def assert_holds(pictures: Pictures, paths: list[Path], size: int, transform: Transform = resize_antialiased) -> None:
    assert isinstance(pictures, ImageStore)
    (batch,) = pictures.batches([range(len(paths))])
    assert torch.equal(batch, torch.stack([read_image(path, size, transform) for path in paths]))


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


class Disk(NamedTuple):
    """What shutil.disk_usage tells."""

    total: int
    used: int
    free: int


@pytest.fixture
def nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 1,200 free bytes; five pictures of 8 pixels take 960 and their checksums 24."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**9, 10**9 - 1200, 1200))


def test_auto_keeps_off_a_disk_that_it_would_half_fill(
    nearly_full: None, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    pictures = open_pictures(paths, 8, resize_antialiased, "auto")
    assert isinstance(pictures, ImageFiles) and not stores() and not parts()
    assert "no image store" in caplog.text and "more than 50% of the free 1.2e-06 GB" in caplog.text
    few = open_pictures(paths[:3], 8, resize_antialiased, "auto")
    assert isinstance(few, ImageStore)


def test_on_fills_it_and_refuses_what_cannot_be(nearly_full: None, paths: list[Path], tmp_path: Path) -> None:
    assert isinstance(open_pictures(paths, 8, resize_antialiased, "on"), ImageStore)
    assert isinstance(open_pictures(paths, 8, resize_antialiased, "auto"), ImageStore)  # it is there now
    more = [*paths, draw(tmp_path / "5.png", 5), draw(tmp_path / "6.png", 6)]
    line = r"image_store=on needs 1.34e-06 GB for 7 images of 8 pixels in \S+, but only 1.2e-06 GB are free: make room"
    with pytest.raises(InputError, match=line):
        open_pictures(more, 8, resize_antialiased, "on")
    assert isinstance(open_pictures(more, 8, resize_antialiased, "off"), ImageFiles)


def test_a_disk_that_is_full_after_all(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files stands for it."""
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from simclip.data.images import resize_antialiased; from simclip.data.image_store import open_pictures\n"
        "from simclip.errors import InputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "try: open_pictures([Path(each) for each in sys.argv[1:]], 8, resize_antialiased, 'on')\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    line = r"the image store cannot be written to \S+\.part \(.*\): make room or set train.image_store=off\n"
    assert re.fullmatch(line, done.stdout), (done.stdout, done.stderr)
    assert not stores() and not parts()


#: Builds a store slowly, notes every block at once, and says which pictures it decodes.
BUILDER = """
import json, os, sys, time
from pathlib import Path
from simclip.data import image_store, stored_checksums
from simclip.data.images import read_square, resize_antialiased

names, journal, pause = json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3])
handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def slowly(path, size, transform, exif):
    time.sleep(pause)
    square = read_square(path, size, transform, exif)
    os.write(handle, f"{path.name}\\n".encode())
    return square

image_store.read_square, image_store.NOTE_SECONDS = slowly, 0.0
image_store.open_pictures([Path(name) for name in names], 8, resize_antialiased, "on")
"""


def builder(paths: list[Path], journal: Path, pause: float) -> subprocess.Popen[bytes]:
    names = json.dumps([str(path) for path in paths])
    return subprocess.Popen([sys.executable, "-c", BUILDER, names, str(journal), str(pause)], cwd=ROOT)


def finished_blocks(count: int) -> np.ndarray:
    """bool [blocks], what the part notes as finished."""
    (part,) = parts()
    return np.frombuffer(part.read_bytes()[count * 8 * 8 * 3 :][: -(-count // BLOCK)], dtype=bool)


def test_a_killed_build_is_taken_up_where_it_was(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.png", number) for number in range(6 * BLOCK + 5)]
    with builder(paths, tmp_path / "first", 0.002) as process:
        while not parts() or parts()[0].stat().st_size == 0 or finished_blocks(len(paths)).sum() < 2:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not stores()
    finished = finished_blocks(len(paths))
    assert 2 <= finished.sum() < len(finished) == 7
    with builder(paths, tmp_path / "second", 0.0) as process:
        assert process.wait() == 0
    again = (tmp_path / "second").read_text().split()
    expected = [path.name for place, path in enumerate(paths) if not finished[place // BLOCK]]
    assert sorted(again) == sorted(expected)
    assert not parts()
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


def test_processes_that_want_it_at_once_make_it_once(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.png", number) for number in range(2 * BLOCK)]
    processes = [builder(paths, tmp_path / "journal", 0.002) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted((tmp_path / "journal").read_text().split()) == sorted(path.name for path in paths)
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


def test_one_that_waits_for_a_builder_that_is_killed_goes_on_itself(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{number}.png", number) for number in range(3 * BLOCK)]
    with builder(paths, tmp_path / "first", 0.05) as killed:
        while not (tmp_path / "first").exists():
            time.sleep(0.005)
        with builder(paths, tmp_path / "second", 0.0) as waiting:
            time.sleep(0.1)
            killed.kill()
            assert waiting.wait() == 0
    assert_holds(open_pictures(paths, 8, resize_antialiased), paths, 8)


def test_a_part_of_a_wrong_size_is_begun_anew(paths: list[Path]) -> None:
    open_pictures(paths, 8, resize_antialiased)
    (store,) = stores()
    part = store.rename(store.with_suffix(".part"))
    part.write_bytes(b"\1" * (part.stat().st_size - 1))
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
