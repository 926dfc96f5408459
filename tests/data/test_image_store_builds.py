"""Stores that are made on full disks, by several processes, and by ones that are killed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from simclip.data.image_store import BLOCK, ImageStore, open_pictures
from simclip.data.images import ImageFiles, resize_antialiased
from simclip.errors import InputError
from tests.data.stores import assert_holds, draw, parts, stores

ROOT = Path(__file__).parents[2]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five small pictures."""
    return [draw(tmp_path / f"{number}.png", number) for number in range(5)]


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
