"""Temporary folders of trials, one of whose processes is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import simclip
from simclip.runtime.scratch import drop_orphans, scratch_folder

HOLD = "from simclip.runtime.scratch import *\nwith scratch_folder() as it: print(it, flush=True); input()"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_it_lasts_as_long_as_the_block(tmp_path: Path) -> None:
    with scratch_folder() as one, scratch_folder() as other:
        assert one != other and one.is_dir() and other.is_dir()
        drop_orphans()
        assert one.is_dir() and other.is_dir()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_leaves_is_deleted(tmp_path: Path) -> None:
    root = Path(simclip.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        (folder / "model").write_text("weights")
        drop_orphans()
        assert (folder / "model").exists()  # it lives
        process.send_signal(signal.SIGKILL)
    assert folder.exists()
    with scratch_folder() as mine:
        assert [*tmp_path.iterdir()] == [mine]
