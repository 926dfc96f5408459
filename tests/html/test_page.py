"""Pictures and tables as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import font_manager

from simclip.html import figure
from simclip.html.figure import Picture, panel, style
from simclip.html.page import save_all


def saved(folder: Path) -> str:
    with style():
        drawn, axes = panel("写真 by рисунок", 2)
        axes.set_xlabel("k")
        return save_all([Picture("photographs", "", "", "", drawn)], [], folder)


def test_characters_that_no_font_of_the_png_files_has_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(figure, "WIDE_FONTS", ())
    assert saved(tmp_path) == "写真"
    assert not recwarn.list
    assert "写真 by рисунок" in (tmp_path / "photographs.svg").read_text(encoding="utf-8")


def test_an_installed_font_with_chinese_characters_is_found(tmp_path: Path) -> None:
    if not {*figure.WIDE_FONTS[1:]} & {*font_manager.get_font_names()}:
        pytest.skip("no font with Chinese characters is installed")
    assert saved(tmp_path) == ""
