"""Overlap between training and evaluation, against every pair compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simclip.prepare.overlap import COCO, CONTENT, NAME, PIXELS, Match, find_overlaps, overlaps_by_name


def picture(path: Path, seed: int, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def test_each_image_is_found_in_its_surest_way(tmp_path: Path) -> None:
    train, val = tmp_path / "train", tmp_path / "val"
    copy = picture(train / "a.png", 1), picture(val / "other-name.png", 1)
    twice = picture(train / "twice.png", 1)
    coco = picture(train / "000000000042.jpg", 2), picture(val / "COCO_val2014_000000000042.jpg", 3)
    name = picture(train / "same.png", 4), picture(val / "sub/same.png", 5)
    saved = picture(train / "again.png", 6, compress_level=0), picture(val / "saved.png", 6, compress_level=9)
    alone = picture(val / "alone.png", 7)
    training = [copy[0], twice, coco[0], name[0], saved[0]]
    evaluated = {"val": [copy[1], coco[1], name[1], saved[1], alone, copy[1]], "test": [alone, copy[1]]}

    found = find_overlaps(training, evaluated)
    assert found == {
        "val": [
            Match(copy[1], [copy[0], twice], CONTENT),
            Match(coco[1], [coco[0]], COCO),
            Match(name[1], [name[0]], NAME),
        ],
        "test": [Match(copy[1], [copy[0], twice], CONTENT)],
    }
    assert [each.same_picture for each in found["val"]] == [True, True, False]
    assert find_overlaps(training, evaluated, pixels=True)["val"][-1] == Match(saved[1], [saved[0]], PIXELS)


@given(st.data())
def test_content_is_what_every_pair_compared_says(tmp_path_factory: object, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("files")  # type: ignore[attr-defined]
    contents = data.draw(st.lists(st.binary(max_size=2), min_size=2, max_size=12))
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.bin")
        paths[-1].write_bytes(content)
    cut = data.draw(st.integers(1, len(paths) - 1))
    train, val = paths[:cut], paths[cut:]
    found = find_overlaps(train, {"val": val})["val"]
    expected = {path: [each for each in train if each.read_bytes() == path.read_bytes()] for path in val}
    assert {each.evaluated: each.trained for each in found} == {
        path: those for path, those in expected.items() if those
    }


def test_only_files_of_a_common_size_are_read(tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 20, "c": 20, "d": 30}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(hashlib.sha256(name.encode()).digest()[:size])
    os.chmod(tmp_path / "a", 0)
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")  # to read it would wait for ever
    assert find_overlaps([tmp_path / "a", tmp_path / "b"], {"val": [tmp_path / "c", tmp_path / "d"]}) == {"val": []}


def test_names_alone_tell_of_an_overlap(tmp_path: Path) -> None:
    trained = [tmp_path / "train" / name for name in ("a.jpg", "000000391895.jpg", "b.jpg")]
    evaluated = {
        "val": [trained[0], trained[0], tmp_path / "val" / "c.jpg"],
        "test": [tmp_path / "x" / "COCO_val2014_000000391895.jpg", tmp_path / "x" / "b.jpg"],
        "clean": [tmp_path / "val" / "c.jpg"],
    }
    same, alike = overlaps_by_name(trained, evaluated)
    assert same.startswith(f"val: 1 of 2 images are also trained on, the first {trained[0]}; ")
    assert alike.startswith("test: 2 of 2 images have the name of a training image in another folder, the first ")
