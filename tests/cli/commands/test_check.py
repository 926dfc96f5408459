"""`tune.py check`, from the words that are typed to exit code and lines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.data.formats import rows_of, write_parquet, write_shards
from tune import main


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
