"""Small files of each published format, and files that are something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from simclip.errors import InputError
from simclip.prepare.annotations import Described, read_coco, read_flickr, read_karpathy, read_sidecar

COCO: dict[str, Any] = {
    "info": {"year": 2017},
    "licenses": [],
    "images": [
        {"id": 9, "file_name": "000000000009.jpg", "height": 480, "width": 640},
        {"id": 25, "file_name": "000000000025.jpg", "height": 426, "width": 640},
    ],
    "annotations": [
        {"id": 1, "image_id": 25, "caption": "A giraffe.\n"},
        {"id": 2, "image_id": 9, "caption": "None"},
        {"id": 3, "image_id": 25, "caption": '"Two" giraffes'},
    ],
}
KARPATHY: dict[str, Any] = {
    "dataset": "coco",
    "images": [
        {
            "filepath": "val2014",
            "filename": "COCO_val2014_000000000042.jpg",
            "split": "test",
            "cocoid": 42,
            "sentences": [{"tokens": ["a", "shoe"], "raw": "A shoe.", "imgid": 0, "sentid": 1}, {"raw": "Shoes"}],
        },
        {"filepath": "val2014", "filename": "b.jpg", "split": "restval", "sentences": [{"raw": "b"}]},
        {"filename": "c.jpg", "split": "train", "sentences": [{"raw": "c"}]},
    ],
}


def written(folder: Path, content: object, name: str = "file.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_coco(tmp_path: Path) -> None:
    assert read_coco(written(tmp_path, COCO)) == [
        Described("000000000009.jpg", ["None"]),
        Described("000000000025.jpg", ["A giraffe.\n", '"Two" giraffes']),
    ]


def test_karpathy(tmp_path: Path) -> None:
    path = written(tmp_path, KARPATHY)
    rows, counts = read_karpathy(path, ["test"])
    assert rows == [Described("val2014/COCO_val2014_000000000042.jpg", ["A shoe.", "Shoes"])]
    assert counts == {"test": 1, "restval": 1, "train": 1}
    rows, _ = read_karpathy(path, ["train", " restval"])
    assert rows == [Described("val2014/b.jpg", ["b"]), Described("c.jpg", ["c"])]


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg#0\tone # two\na.jpg#1\tNone\nb.jpg.1#0\t«three»\n\n",
        "\ufeffa.jpg#0\tone # two\r\nb.jpg.1#0\t«three»\r\na.jpg#1\tNone",
        "image_name| comment_number| comment\na.jpg| 0| one # two\na.jpg| 1| None\nb.jpg.1| 0| «three»\n",
    ],
    ids=["token", "token with carriage returns", "csv"],
)
def test_flickr(tmp_path: Path, text: str) -> None:
    rows, unbarred = read_flickr(written(tmp_path, text))
    assert [(row.image, [caption.strip() for caption in row.captions]) for row in rows] == [
        ("a.jpg", ["one # two", "None"]),
        ("b.jpg.1", ["«three»"]),
    ]
    assert unbarred == 0


def test_the_line_of_the_published_csv_that_lacks_a_bar_is_read_and_counted(tmp_path: Path) -> None:
    text = "image_name| comment_number| comment\n2199200615.jpg| 3| A | dog .\n2199200615.jpg| 4   A dog runs .\n"
    rows, unbarred = read_flickr(written(tmp_path, text))
    assert [caption.strip() for caption in rows[0].captions] == ["A | dog .", "A dog runs ."]
    assert unbarred == 1


def test_sidecar(tmp_path: Path) -> None:
    for name in ("b.png", "a/one.JPG", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    written(tmp_path, "first\n\nsecond\u2028line\n", "b.txt")
    written(tmp_path, "only", "a/one.txt")
    written(tmp_path, "no image's", "README.txt")
    rows, lonely = read_sidecar(tmp_path)
    assert rows == [Described("a/one.JPG", ["only"]), Described("b.png", ["first", "second\u2028line"])]
    assert lonely == 1
    (tmp_path / "a" / "one.txt").unlink()
    with pytest.raises(InputError, match=r"1 of 2 images in .* have no .txt file next to them, the first a.one.JPG"):
        read_sidecar(tmp_path)


def without(content: dict[str, Any], *path: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def with_annotation(image_id: object) -> dict[str, Any]:
    return {**COCO, "annotations": [{"image_id": image_id, "caption": "x"}]}


def read_tests(path: Path) -> list[Described]:
    return read_karpathy(path, ["test"])[0]


WRONG: dict[str, tuple[Callable[[Path], object], object, str]] = {
    "instances": (read_coco, without(COCO, "annotations", 0, "caption"), r"\[0\].caption: missing.*give captions"),
    "no images": (read_coco, without(COCO, "images"), r"not a file of COCO captions \(images: missing\)"),
    "Karpathy's": (read_coco, KARPATHY, "it looks like Karpathy's splits: python tune.py prepare karpathy"),
    "cut off": (read_coco, json.dumps(COCO)[:-30], r"not a file of COCO captions \(Invalid JSON: EOF"),
    "half a surrogate": (read_coco, json.dumps(with_annotation(9)).replace('"x"', r'"\ud83d"'), "JSON: .*cut off"),
    "another image": (read_coco, with_annotation(7), r"annotations\[0\] refers to image 7, which is not in images"),
    "a number twice": (read_coco, {**COCO, "images": COCO["images"] * 2}, "2 image ids occur twice"),
    "a list": (read_coco, [1], "not a file of COCO captions"),
    "COCO's": (read_tests, COCO, "it looks like COCO's captions: python tune.py prepare coco"),
    "a word": (read_tests, '"x"', "not a file of Karpathy's splits"),
    "no such split": (lambda path: read_karpathy(path, ["dev"]), KARPATHY, r"no split 'dev'; it has test \(1 images\)"),
    "json for flickr": (read_flickr, KARPATHY, r"line 1: expected name.jpg#0, a tab and a caption .*or the header"),
    "a token without a tab": (read_flickr, "a.jpg#0\tx\na.jpg#1 x\n", "line 2: expected name.jpg#0, a tab and"),
    "a csv without bars": (
        read_flickr,
        "image_name| comment_number| comment\na.jpg, 0, x\n",
        r"line 2: expected name.jpg\| 0\| caption; got 'a.jpg, 0, x'",
    ),
    "only a header": (read_flickr, "image_name| comment_number| comment\n", "has a header but no captions"),
    "nothing": (read_flickr, "\n", "is empty"),
    "no folder of images": (read_sidecar, "", "no such image folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_what_it_says_is_one_line(case: str, tmp_path: Path) -> None:
    read, content, message = WRONG[case]
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("read", [read_coco, read_tests, read_flickr, read_sidecar])
def test_nothing_is_there(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such .*none.json"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"no such annotation file|contains no images"):
        read(tmp_path)


def test_latin_1_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_bytes("a.jpg#0\tcafé\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"tokens.txt is not UTF-8 text"):
        read_flickr(path)


def test_a_large_wrong_file_is_refused_at_its_first_wrong_item(tmp_path: Path) -> None:
    path = written(tmp_path, {**COCO, "annotations": [{"id": 1, "bbox": [1, 2]}] * 100_000})
    with pytest.raises(InputError, match=r"annotations\[0\].image_id: missing"):
        read_coco(path)
