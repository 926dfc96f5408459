"""Names and captions cannot command the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from simclip.cli.exits import fail
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole, safe

EVIL = "a\x1b[2Jdog\x9b31m\x07\u202egod"
ROOT = Path(__file__).parents[3]


def test_control_characters_become_marks_and_the_rest_stays() -> None:
    assert safe(EVIL) == "a\ufffd[2Jdog\ufffd31m\ufffd\ufffdgod"
    assert safe("ein Hündchen\t犬\n") == "ein Hündchen\t犬\n"


def test_what_is_printed_is_safe_and_styles_remain(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, color_system="standard", width=60)
    say(console, EVIL)
    table = Table("name")
    table.add_row(EVIL, style="red")
    console.print(table)
    printed = out.getvalue()
    assert "\x1b[2J" not in printed and "\x9b" not in printed and "\x07" not in printed and "\u202e" not in printed
    assert "\x1b[31m" in printed  # our own red
    fail(EVIL)
    assert "\x1b" not in capsys.readouterr().err


def test_no_command_prints_past_it() -> None:
    for path in (ROOT / "simclip").rglob("*.py"):
        assert not re.search(r"(?<!Safe)Console\(\)", path.read_text(encoding="utf-8")), path
