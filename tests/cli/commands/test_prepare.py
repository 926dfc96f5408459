"""`tune.py prepare` and `check`, from the words that are typed to exit code and lines."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from simclip.data.pair_table import read_table
from tests.data.formats import rows_of, write_parquet, write_shards
from tune import main


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


def table(path: Path, names: list[str]) -> str:
    path.write_text("image\tcaption\n" + "".join(f"{name}\tx\n" for name in names))
    return str(path)


def test_check_tables_and_keep_out_what_it_found(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["tune.py", "check", "train.tsv"])
    train = table(tmp_path / "train.tsv", ["000000000009.jpg", "000000000025.jpg", "000000000042.jpg"])
    val = table(tmp_path / "val.tsv", ["val2014/COCO_val2014_000000000042.jpg", "000000000009.jpg"])
    clean = table(tmp_path / "clean.tsv", ["000000000025.jpg"])
    words = ["check", train, val, "--images", str(images)]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "training: 3 images, all there" in said
    assert f"{val}: 2 images, all there; 2 are trained on (1 by COCO number, 1 by content): " in said
    assert "python tune.py check train.tsv --to seen.txt" in said

    seen = tmp_path / "seen.txt"
    assert main([*words, "--to", str(seen)]) == 1
    assert seen.read_text() == "000000000042.jpg\n000000000009.jpg\n"
    command = capsys.readouterr().out.split("python tune.py ")[1].split()
    assert main(command) == 0
    unseen = tmp_path / "train-unseen.tsv"
    assert unseen.read_text() == "image\tcaption1\n000000000025.jpg\tx\n"
    capsys.readouterr()
    assert main(["check", str(unseen), val, "--images", str(images)]) == 0
    assert f"{val}: 2 images, all there; none is trained on" in capsys.readouterr().out
    assert main(["check", str(unseen), clean, "--images", str(images), "--images", str(images), "--pixels"]) == 1


def test_check_one_table_counts_images_and_decodes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        Image.new("RGB", (64, 48), (40 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "5.jpg", exif=exif)
    one = table(tmp_path / "one.tsv", [f"{number % 6}.jpg" for number in range(12)])
    assert main(["check", one, "--images", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{one}: 12 rows name 6 images; the captions of each image are merged" in said
    assert "training: 6 images, all there" in said and "evaluation sets" not in said
    assert "training: 1 of 6 pictures have an EXIF orientation, which is ignored" in said

    content = (tmp_path / "1.jpg").read_bytes()
    for number, broken in ((1, content[:-300]), (2, b""), (3, b"<html>not found</html>")):
        (tmp_path / f"{number}.jpg").write_bytes(broken)
    val = table(tmp_path / "val.tsv", ["3.jpg"])
    assert main(["check", one, val, "--images", str(tmp_path), "--pixels"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "3 images do not decode; " in "".join(lines)
    first, *rest = [line for line in lines if line.startswith(f"  {tmp_path}")]
    assert first.startswith(f"  {tmp_path}/1.jpg: ") and "truncated" in first.lower()
    assert rest == [f"  {tmp_path}/2.jpg: the file is empty", f"  {tmp_path}/3.jpg: it is an HTML page"]
    assert main(["check", one, "--images", str(tmp_path), "--fast"]) == 0
    assert "Decoding" not in capsys.readouterr().out


def test_check_a_study_with_its_test_sets(
    images: Path, pairs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("0", "1"):
        (tmp_path / "digits" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4), (int(label), 0, 0)).save(tmp_path / "digits" / label / "x.png")
    (tmp_path / "digits" / "1" / "000.png").write_bytes((pairs / "images" / "000.png").read_bytes())
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "digits" / "1" / "001.png")
    files = {"train_tsv": pairs / "train.tsv", "val_tsv": pairs / "val.tsv", "model": tiny_model}
    files |= {"train_image_dir": pairs / "images", "val_image_dir": pairs / "images"}
    content: dict[str, Any] = {
        "name": "checked",
        "train": {name: str(path) for name, path in files.items()} | {"batch_size": 8, "epochs": 2},
        "parameters": {"cluster_size": {"values": [2, 4]}},
        "test_metric": "digits/top1",
        "test": [
            {"kind": "classification", "name": "digits", "image_dir": str(tmp_path / "digits")},
            {"kind": "pairs", "name": "swapped", "files": str(tmp_path / "p.tsv"), "image_dir": str(pairs / "images")},
        ],
    }
    (tmp_path / "p.tsv").write_text("image\tcaption\tnegative_caption\n003.png\ta b\tb a\n045.png\ta b\tb a\n")
    study = tmp_path / "checked.yaml"
    study.write_text(yaml.safe_dump(content))
    assert main(["check", str(study)]) == 1
    said = capsys.readouterr().out
    assert "training: 40 images, all there" in said
    assert "val: 12 images, all there; none is trained on" in said
    assert "digits: 4 images, all there; 1 are trained on (1 by content): " in said
    assert "swapped: 2 images, all there; 1 are trained on (1 by content): " in said
    assert "digits: 1 more share only the name of a training image: " in said
    limited = f'train.train_tables=[{{tsv: "{files["val_tsv"]}", image_dir: "{files["val_image_dir"]}", limit: 1}}]'
    assert main(["check", str(study), limited]) == 1
    assert "val: 12 images, all there; 1 are trained on" in capsys.readouterr().out


def test_check_shards_and_keep_out_what_it_found(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, images = rows_of(pairs / "train.tsv"), pairs / "images"
    train = str(write_shards(tmp_path / "train", rows, images))
    val = str(write_parquet(tmp_path / "val.parquet", rows[38:] + rows_of(pairs / "val.tsv"), images))
    seen = tmp_path / "seen.txt"
    assert main(["check", train, val, "--to", str(seen)]) == 1
    said = capsys.readouterr().out
    assert "training: 40 images, all there" in said
    assert f"14 images, all there; 2 are trained on (2 by content): {val}/0/038.png = " in said.replace(chr(10), " ")
    assert seen.read_text() == "00002.tar/000038.png\n00002.tar/000039.png\n"
    command = shlex.split(said.replace("\n", " ").split("python tune.py ")[1])
    assert main(command) == 0
    unseen = tmp_path / "train" / "pairs-unseen.tsv"
    assert unseen.read_text().splitlines()[-1].startswith("00002.tar/000037.png\t")
    capsys.readouterr()
    assert main(["check", str(unseen), val]) == 0
    assert "14 images, all there; none is trained on" in capsys.readouterr().out.replace("\n", " ")
    outside = ["--annotations", train, "--images", str(images), "--out", str(tmp_path / "x.tsv")]
    assert main(["prepare", "tsv", *outside]) == 2
    assert "give the folder of the shards" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "nothing to check"),
        (["{t}"], "1 of 1 images are not in {d}, the table's own folder; name theirs with --images (check)"),
        (["{d}/data.txt"], "data.txt: expected a study file (.yaml) or a table of pairs (.tsv, .csv"),
        (["{d}/results"], "results is a folder: give a study file, such as"),
        (["{d}/empty"], "empty is a folder: give a study file, or a table"),
        (["{d}/none.csv"], "no such file: {d}/none.csv"),
        (["{d}/none-*.tar"], "no file matches {d}/none-*.tar"),
        (["{t}", "{t}", "--images", "{i}", "--images", "{i}", "--images", "{i}"], "--images is given 3 times"),
        (["{t}", "{t}", "--images", "{i}/val2014"], "1 of 1 images are not in {i}/val2014: 000000000009.jpg"),
        (["studies/demo.yaml", "--images", "{i}"], "--images is for tables"),
        (["studies/none.yaml"], "studies/none.yaml"),
    ],
)
def test_wrong_checks(
    words: list[str], part: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = table(tmp_path / "t.tsv", ["000000000009.jpg"])
    (tmp_path / "results").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("data.txt", "results/study.yaml"):
        (tmp_path / name).write_text("image,caption\n")
    places = {"{t}": made, "{i}": str(images), "{d}": str(tmp_path)}
    for short, place in places.items():
        part, words = part.replace(short, place), [word.replace(short, place) for word in words]
    assert main(["check", *words]) == 2
    line = capsys.readouterr().err
    assert part in line and line.count("\n") == 1
