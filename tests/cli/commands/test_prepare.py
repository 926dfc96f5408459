"""`tune.py prepare`, from the words that are typed to exit code and lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from simclip.data.pair_table import read_table
from tune import main


def test_coco_warns_of_karpathys_test_images_and_keeps_them_out(
    coco: Path, karpathy: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.tsv"
    words = ["prepare", "coco", "--annotations", str(coco), "--images", str(images), "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"{out}: 3 images, 4 captions (1 to 2 an image)" in said
    assert "4 captions held a tab, a line break or the like" in said
    assert "under other names" in said and "--exclude dataset_coco.json:val,test" in said

    (tmp_path / "broken.txt").write_text("000000000025.jpg\n")
    assert main([*words, "--exclude", str(tmp_path / "broken.txt")]) == 0
    assert "under other names" in capsys.readouterr().out  # these were others

    assert main([*words, "--exclude", f"{karpathy}:val,test"]) == 0
    said = capsys.readouterr().out
    assert f"{karpathy}:val,test: 1 images kept out; 1 of its 2 names are not in {coco}, the first val2014/COCO" in said
    assert "under other names" not in said
    assert [path.name for path in read_table(out, images).images] == ["000000000009.jpg", "000000000025.jpg"]


def test_several_lists_and_the_other_formats(
    karpathy: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("000000000009.jpg\n")
    (tmp_path / "two.tsv").write_text("image\tcaption\n000000000025.jpg\tx\n")
    (tmp_path / "token.txt").write_text("".join(f"{n:012d}.jpg#0\tx {n}\n" for n in (9, 25, 42)))
    out, common = tmp_path / "pairs.tsv", ["--images", str(images), "--out", str(tmp_path / "pairs.tsv")]
    lists = ["--exclude", str(tmp_path / "one.txt"), "--exclude", str(tmp_path / "two.tsv")]
    assert main(["prepare", "flickr", "--annotations", str(tmp_path / "token.txt"), *common, *lists]) == 0
    assert out.read_text() == "image\tcaption1\n000000000042.jpg\tx 42\n"

    assert main(["prepare", "karpathy", "--annotations", str(karpathy), "--split", "test", *common]) == 0
    assert out.read_text() == "image\tcaption1\nval2014/COCO_val2014_000000000042.jpg\tx\n"
    Image.new("RGB", (4, 4)).save(images / "other.jpg")
    (images / "val2014" / "other.jpg").write_bytes((images / "other.jpg").read_bytes())
    Image.new("RGB", (4, 4)).save(images / "t.jpg")
    capsys.readouterr()
    assert main(["prepare", "karpathy", "--annotations", str(karpathy), "--split=train,restval", *common]) == 0
    assert "1 images have no caption and are left out, the first t.jpg" in capsys.readouterr().out

    for path in images.rglob("*.jpg"):
        path.with_suffix(".txt").write_text(f"of {path.stem}\nagain\n")
    assert main(["prepare", "sidecar", *common]) == 0
    assert len(read_table(out, images).images) == 7


def test_mnist_gives_a_table_and_a_classification_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", "mnist", "--mnist-dir", str(tmp_path), "--out", str(tmp_path / "digits"), "--count", "10"]
    for part in ("train", "t10k"):
        labels = bytes([0, 0, 8, 1, 0, 0, 0, 20]) + bytes([*range(10)] * 2)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        images = bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(80))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
    assert main(words) == 0
    folder = tmp_path / "digits" / "mnist-10-seed1"
    assert sorted(read_table(folder / "digits.tsv", folder).captions) == [f"A MNIST digit of {n}" for n in range(10)]
    assert [len(list(each.iterdir())) for each in sorted((tmp_path / "digits" / "mnist-test").iterdir())] == [2] * 10
    assert "20 MNIST digits to classify" in capsys.readouterr().out
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(labels)
    assert main(words) == 2
    assert "its magic number is 2049, expected 2051" in capsys.readouterr().err
    assert main([*words, "--count", "0"]) == 2
    assert "--count 0" in capsys.readouterr().err


def test_a_table_with_a_row_per_caption_becomes_one_with_a_row_per_image(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.tsv").write_text(
        "image\tcaption\n000000000009.jpg\ta\n000000000025.jpg\tb\n000000000009.jpg\tc\n"
    )
    words = ["prepare", "tsv", "--annotations", str(tmp_path / "long.tsv"), "--images", str(images)]
    assert main([*words, "--out", str(tmp_path / "wide.tsv")]) == 0
    assert (tmp_path / "wide.tsv").read_text() == (
        "image\tcaption1\tcaption2\n000000000009.jpg\ta\tc\n000000000025.jpg\tb\t\n"
    )
    assert "3 rows name 2 images; the captions of each image are merged" in capsys.readouterr().out


WRONG: dict[str, tuple[list[str], list[str]]] = {
    "instances": (["coco", "--annotations", "{d}/instances.json"], ["annotations[0].caption", "missing"]),
    "nothing there": (["coco", "--annotations", "{d}/none.json"], ["no such annotation file", "none.json"]),
    "no such split": (["karpathy", "--annotations", "{d}/dataset_coco.json", "--split", "dev"], ["'dev'", "restval"]),
    "no tokens": (["flickr", "--annotations", "{d}/dataset_coco.json"], ["line 1", "name.jpg#0"]),
    "no captions beside": (["sidecar"], ["no .txt file next to", "000000000009.jpg"]),
    "a missing image": (
        ["flickr", "--annotations", "{d}/more.token"],
        ["2 of 3 images are not in", "the first gone.jpg", "--exclude"],
    ),
    "a list that is not there": (
        ["coco", "--annotations", "{d}/captions_train2017.json", "--exclude", "{d}/no.txt"],
        ["--exclude", "no.txt", "no such file"],
    ),
    "its own table": (["tsv", "--annotations", "{d}/out.tsv"], ["out.tsv", "is the table that is read"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_annotations_are_one_line_and_exit_code_two(
    case: str, coco: Path, karpathy: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instances = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": []}]}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "more.token").write_text("gone.jpg#0\tx\n000000000009.jpg#0\tx\nlost.jpg#0\tx\n")
    words, parts = WRONG[case]
    out = tmp_path / "out.tsv"
    words = [word.replace("{d}", str(tmp_path)) for word in words]
    assert main(["prepare", *words, "--images", str(images), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert all(part in captured.err for part in parts)
    assert not out.exists()


@pytest.mark.parametrize("name", ["../../etc/x.png", "/etc/x.png", "sub/../../x.png"])
@pytest.mark.parametrize("kind", ["coco", "karpathy", "flickr", "tsv"])
def test_annotations_that_leave_the_image_folder_are_refused(
    kind: str, name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = {"filepath": str(Path(name).parent), "filename": "x.png", "split": "test", "sentences": [{"raw": "x"}]}
    contents = {
        "coco": json.dumps(
            {"images": [{"id": 1, "file_name": name}], "annotations": [{"image_id": 1, "caption": "x"}]}
        ),
        "karpathy": json.dumps({"images": [image]}),
        "flickr": f"{name}#0\tx\n",
        "tsv": f"image\tcaption\n{name}\tx\n",
    }
    (tmp_path / "annotations").write_text(contents[kind])
    words = ["prepare", kind, "--annotations", str(tmp_path / "annotations"), "--images", str(images)]
    words += ["--split=test"] if kind == "karpathy" else []
    assert main([*words, "--out", str(tmp_path / "out.tsv")]) == 2
    line = capsys.readouterr().err
    # Karpathy's folders are below the image folder, even with a slash at the beginning.
    inside = kind == "karpathy" and name.startswith("/")
    assert ("1 of 1 images are not in" if inside else "expected a path inside the image folder") in line
    assert line.count("\n") == 1 and not (tmp_path / "out.tsv").exists()
