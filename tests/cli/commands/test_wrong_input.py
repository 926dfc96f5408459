"""Wrong input is one line and exit code 2, before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tune import main


@pytest.fixture
def study_file(config: TrainConfig, tmp_path: Path) -> Path:
    """A study of two cluster sizes over the tiny pairs."""
    return write_study(config, tmp_path / "tiny.yaml", train={"epochs": 2}, max_concurrent=1)


def tsv(folder: Path, *lines: str) -> str:
    path = folder / "wrong.tsv"
    path.write_text("".join(line.replace("|", "\t") + "\n" for line in lines), encoding="utf-8")
    return f"train.train_tsv={path}"


def negatives(folder: Path, config: TrainConfig, *lines: str) -> str:
    path = folder / "few.tsv"
    rows = ["image|caption|negative_caption|category", *lines]
    path.write_text("".join(line.replace("|", "\t") + "\n" for line in rows), encoding="utf-8")
    return f"train.evaluate=[{{kind: pairs, name: few, files: {path}, image_dir: {config.val_image_dir}}}]"


def folder_without_weights(folder: Path, model: str) -> str:
    target = folder / "no-weights"
    target.mkdir()
    (target / "config.json").write_text((Path(model) / "config.json").read_text())
    return str(target)


def folder_of_naflex(folder: Path, model: str) -> str:
    target = shutil.copytree(model, folder / "naflex")
    content = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**content, "model_type": "siglip2"}))
    return str(target)


Wrong = Callable[[Path, TrainConfig], list[str]]


WRONG: dict[str, tuple[Wrong, list[str]]] = {
    "no such TSV": (lambda d, c: ["train.train_tsv=nowhere.tsv"], ["nowhere.tsv", "no such TSV file"]),
    "no image column": (
        lambda d, c: [tsv(d, 'picture|caption1', 'a.png|words')],
        ["wrong.tsv", "no column 'image'", "picture"],
    ),
    "no caption column": (
        lambda d, c: [tsv(d, 'image|words', '000.png|text')],
        ["wrong.tsv", "no caption column", "caption1"],
    ),
    "an empty TSV": (lambda d, c: [tsv(d)], ["wrong.tsv is empty", "header"]),
    "missing images": (
        lambda d, c: [tsv(d, 'image|caption1', 'x.png|a', '000.png|b', 'y.png|c').replace('train_tsv', 'val_tsv')],
        ["2 of 3 images", "x.png, y.png"],
    ),
    "fewer rows than a batch": (
        lambda d, c: ["train.batch_size=64"],
        ["40 rows", "fewer than batch_size 64", "smaller batch_size"],
    ),
    "k larger than floor(pN)": (
        lambda d, c: ["parameters.cluster_size.values=[2,8]"],
        ["arm k8", "larger than the 4 clustered rows", "lower k"],
    ),
    "p outside [0, 1]": (lambda d, c: ["train.proportion=1.5"], ["train.proportion", "less than or equal to 1", "1.5"]),
    "a fraction like 1/0": (lambda d, c: ["train.proportion=1/0"], ["train.proportion", "1/0"]),
    "an unknown field": (lambda d, c: ["train.epoch=3"], ["train.epoch", "did you mean epochs?"]),
    "an unknown parameter": (
        lambda d, c: ["parameters.cluster_sizes.values=[2]"],
        ["cluster_sizes", "did you mean cluster_size?"],
    ),
    "a range upside down": (
        lambda d, c: ["parameters.learning_rate={min: 1e-2, max: 1e-4}", "searcher=random", "trials=3"],
        ["learning_rate", "min 0.01 is not below max 0.0001"],
    ),
    "a model folder without weights": (
        lambda d, c: [f"train.model={folder_without_weights(d, c.model)}"],
        ["no-weights", "has no weights"],
    ),
    "a model that is no CLIP": (
        lambda d, c: [f"train.model={folder_of_naflex(d, c.model)}"],
        ["siglip2", "NaFlex", "of fixed resolution"],
    ),
    "a tower that there is not": (
        lambda d, c: ["parameters.freeze={values: [none, both]}"],
        ["freeze", "'none', 'image' or 'text'"],
    ),
    "a frozen tower of random weights": (
        lambda d, c: ["train.freeze=image", "train.pretrain=true"],
        ["freeze image with pretrain", "drop either"],
    ),
    "LoRA on layers that there are not": (
        lambda d, c: ["parameters.lora_rank.values=[0,2]", "parameters.lora_targets.values=[[fc1],[query]]"],
        ["lora_targets query", "no linear layer", "give some of fc1, fc2, k_proj"],
    ),
    "LoRA of random weights": (
        lambda d, c: ["train.lora_rank=2", "train.pretrain=true"],
        ["lora_rank 2 with pretrain", "drop either"],
    ),
    "an image outside its folder": (
        lambda d, c: [tsv(d, 'image|caption1', '../secret.png|a')],
        ["line 2", "../secret.png", "leaves its folder"],
    ),
    "a metric that no set has": (lambda d, c: ["metric=val/mean_r2"], ["val/mean_r2", "did you mean val/mean_r1?"]),
    "a batch that workers cannot share": (
        lambda d, c: ["resources.workers=3"],
        ["batch_size 8", "3 workers", "multiple"],
    ),
    "a negative caption missing": (
        lambda d, c: [negatives(d, c, '000.png|a|b|x', '001.png|a||x')],
        ["evaluation set 'few'", "few.tsv, line 3", "no negative_caption"],
    ),
    "an unknown category": (
        lambda d, c: [negatives(d, c, '000.png|a|b|size', '001.png|a|b|hue'), "metric=few/sizes"],
        ["metric 'few/sizes'", "did you mean few/size?"],
    ),
    "an override that is none": (lambda d, c: ["epochs"], ["'epochs'", "key=value"]),
    "a placeholder": (
        lambda d, c: ["train.train_tsv=datasets/coco_train.tsv"],
        ["coco_train.tsv", "placeholder"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_exit_code_two(
    case: str, study_file: Path, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, parts = WRONG[case]
    results = tmp_path / "results"
    code = main(["run", str(study_file), *make(tmp_path, config), "--results", str(results)])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out.splitlines()[1:] in ([], ["Loading model and data..."])  # what only transformers can tell
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert not results.exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "studies/dem.yaml"], ["studies/dem.yaml", "did you mean demo.yaml?"]),
        (["report"], ["no results folder", "results/demo"]),
        (["report", "nowhere"], ["nowhere/study.yaml", "results folder of a study"]),
        (["reproduce", "nowhere", "--trial", "k4-s1"], ["nowhere/study.yaml", "results folder of a study"]),
        (["reproduce", "nowhere", "--seeds", "0"], ["--seeds 0", "at least 1"]),
        (["reproduce", "nowhere"], ["nowhere", "no such file"]),
    ],
)
def test_wrong_paths(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    line = capsys.readouterr().err
    assert all(part in line for part in parts)


@pytest.mark.parametrize("words", [["--dry-run"], ["run", "--dryrun"]])
def test_an_unknown_option_exits_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert words[-1] in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("first", "meant"),
    [
        ("rune", "did you mean run?"),
        ("studies/demo.yaml", "did you mean python tune.py run studies/demo.yaml?"),
        ("xyz", "expected run, report, reproduce, interpolate, export, "),
    ],
)
def test_what_is_no_command_is_one_line(first: str, meant: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([first, "seeds=[1]"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: no such command: {first}; {meant}") and err.count("\n") == 1
