"""The page of clusters in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.html.browser import CONTRASTS, DRAWN
from tune import main

pytestmark = pytest.mark.slow

IMAGES = """() => [...document.images].map(image => ({
    ready: image.complete && image.naturalWidth > 0, box: image.getBoundingClientRect().width,
}))"""


@pytest.fixture(scope="module")
def page(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clusters of long captions and long names, some of them with rows left out."""
    folder = tmp_path_factory.mktemp("look")
    lines = (pairs / "train.tsv").read_text().splitlines()
    lines[1:] = [line + " " + "a-very-long-word" * 9 for line in lines[1:]]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    words = [str(folder / "train.tsv"), "--image-dir", str(pairs / "images"), "--model", str(tiny_model)]
    words += ["--k", "12", "--similarity", "image", "--max-similarity", "0.995", "--out", str(folder / "page.html")]
    assert main(["clusters", *words]) == 0
    return folder / "page.html"


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1200, "light")])
def test_it_opens_offline_and_fits(page: Path, opened: Any, width: int, scheme: str) -> None:
    shown = opened(page, width, scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    images = shown.evaluate(IMAGES)
    assert len(images) >= 12 * 12 and all(each["ready"] and each["box"] > 80 for each in images)
    drawn = shown.evaluate(DRAWN)
    assert len(drawn) == 2
    for picture in drawn:
        assert picture["width"] > 200 and picture["outside"] == 0 and picture["size"] >= 8
    cut = "[...document.querySelectorAll('.row-card')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert shown.evaluate(cut) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Path, opened: Any, scheme: str) -> None:
    found = opened(page, 1200, scheme).evaluate(CONTRASTS)
    assert len(found) > 300
    assert [each for each in found if each["contrast"] < (3 if each["svg"] else 4.5)] == []
