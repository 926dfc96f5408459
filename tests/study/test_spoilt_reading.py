"""`status` and `report` on spoilt results: what is damaged is named, in one line, and no figure is made of it."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from simclip.study.store.folder import StudyFolder
from tests.study.no_override import permissions_count
from tests.study.test_spoilt import WAYS
from tune import main

#: The files of a finished study that the commands read, and one that both may find locked.
READ = ("study.yaml", "trials/control-s1.jsonl", "trials/k2-s1.jsonl", "results.json", "best.yaml", ".lock")
COMMANDS: dict[str, list[str]] = {
    "status": ["status", "{results}/tiny"],
    "list": ["status", "{results}"],
    "report": ["report", "{results}/tiny"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", [*WAYS, "unreadable"])
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_spoilt_file_is_named_and_makes_no_figure(
    command: str,
    name: str,
    way: str,
    finished_study: tuple[Any, StudyFolder],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(finished_study[1].path, tmp_path / "results" / "tiny")
    spoilt = tmp_path / "results" / "tiny" / name
    if name == ".lock":
        spoilt.write_text(
            '{"host": "h", "pid": 7, "job": null, "since": 1.0, "command": "c", "cwd": "/", "done": true}\n'
        )
    words = [word.format(results=tmp_path / "results") for word in COMMANDS[command]]
    assert main(words) == 0
    before = _figures(capsys.readouterr().out)
    if way == "unreadable":
        spoilt.chmod(0)
    else:
        WAYS[way](spoilt)
    with permissions_count() if way == "unreadable" else contextlib.nullcontext():
        code = main(words)
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    if code == 2:
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and name in said.err, said.err
    else:
        assert code == 0 and not said.err
        assert (
            _figures(said.out) == before
            or name in "".join(said.out.split())
            or any(word in said.out for word in ("unreadable", "damaged"))
        ), said.out


def _figures(said: str) -> list[str]:
    """The percentages and counts that a command printed, without times and sizes."""
    return re.findall(r"\d+\.\d%|\d+ finished|not begun|unfinished", said)
