"""Published annotations and pictures of the tests of `prepare` and `check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Photographs of COCO's releases, each of another colour."""
    names = ["000000000009.jpg", "000000000025.jpg", "000000000042.jpg", "val2014/COCO_val2014_000000000042.jpg"]
    for number, name in enumerate(names):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number * 40, 200, 10)).save(path)
    return tmp_path / "images"


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    content = {
        "images": [{"id": number, "file_name": f"{number:012d}.jpg"} for number in (9, 25, 42)],
        "annotations": [{"image_id": number, "caption": f"number\n{number}"} for number in (9, 25, 42, 42)],
    }
    path = tmp_path / "captions_train2017.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def karpathy(tmp_path: Path) -> Path:
    names = {"COCO_val2014_000000000042.jpg": "test", "COCO_val2014_000000000077.jpg": "val", "other.jpg": "restval"}
    content = [
        {"filepath": "val2014", "filename": name, "split": split, "sentences": [{"raw": "x"}]}
        for name, split in names.items()
    ]
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps({"images": [*content, {"filename": "t.jpg", "split": "train", "sentences": []}]}))
    return path
