"""The tables in datasets/ that a user replaces say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from simclip.data.pair_table import read_captions, read_table
from simclip.data.placeholder import refuse_placeholder
from simclip.errors import InputError

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.mark.parametrize("name", ["coco_train.tsv", "coco_val.tsv"])
def test_a_run_that_meets_a_placeholder_says_so(name: str, tmp_path: Path) -> None:
    for read in (lambda: read_table(DATASETS / name, tmp_path), lambda: read_captions(DATASETS / name)):
        with pytest.raises(InputError, match=rf"{name}: this is the placeholder, not data: replace the file") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_ones_own_table_in_its_place_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    own = tmp_path / "coco_train.tsv"
    own.write_text("image\tcaption1\na.jpg\tREPLACE-ME.jpg\n")
    refuse_placeholder(own)
    assert len(read_table(own, tmp_path)) == 1
