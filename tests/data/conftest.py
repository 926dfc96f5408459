"""The tiny training pairs, as tests of data formats write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.formats import Row, rows_of


@pytest.fixture
def images(pairs: Path) -> Path:
    return pairs / "images"


@pytest.fixture
def rows(pairs: Path) -> list[Row]:
    return rows_of(pairs / "train.tsv")
