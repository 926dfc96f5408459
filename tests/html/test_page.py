"""Pictures and tables as files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib import font_manager

from simclip.html import figure
from simclip.html.figure import Picture, panel, style
from simclip.html.page import save_all

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


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


def test_coordinates_in_a_page_are_rounded_and_texts_are_not() -> None:
    with style():
        drawn, axes = panel("a rate of 0.123456", 2)
        axes.plot([0.1111111, 0.2222222, 0.7], [0.1234567, 0.7654321, 0.4])
        picture = Picture("rounded", "", "", "", drawn)
        whole, inline = picture.svg, picture.inline()
    assert "a rate of 0.123456" in inline and len(inline) < 0.8 * len(whole)
    paths = [[float(number) for number in NUMBER.findall(found)] for found in re.findall(r' d="([^"]*)"', inline)]
    exact = [[float(number) for number in NUMBER.findall(found)] for found in re.findall(r' d="([^"]*)"', whole)]
    assert [len(each) for each in paths] == [len(each) for each in exact]
    for rounded, given in zip(paths, exact, strict=True):
        assert rounded == pytest.approx(given, abs=0.005001)
        assert all(number == round(number, 2) for number in rounded)
