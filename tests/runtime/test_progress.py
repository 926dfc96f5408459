"""Progress: a bar where there is a terminal, lines elsewhere, and the same steps in any case."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from simclip.runtime import progress
from simclip.runtime.progress import with_progress


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "simclip")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert list(with_progress(range(7), "decoding images", 65, 0, 10)) == list(range(7))
    written = sys.stderr.getvalue()
    assert "decoding images" in written and "65/65" in written and "70/65" not in written
    assert not caplog.messages


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 4), (1e9, 0)])
def test_lines_elsewhere_not_too_often(
    seconds: float, lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "simclip")
    monkeypatch.setattr(progress, "LOG_SECONDS", seconds)
    assert list(with_progress("abcd", "decoding images", 65, 30, 10)) == list("abcd")
    assert len(caplog.messages) == lines
    if lines:
        assert caplog.messages[0].startswith("decoding images: 40 of 65 (62%), ")
        assert caplog.messages[-1].startswith("decoding images: 65 of 65 (100%), ")
        assert caplog.messages[-1].endswith("/s, 0 s left")
