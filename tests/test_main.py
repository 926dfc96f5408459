"""`python -m simclip` as the original was called, from flags to a model folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPModel

from simclip.__main__ import main
from simclip.cli.commands.original import parse
from simclip.train.load import load_data, load_model
from simclip.train.preflight import check_inputs

ROOT = Path(__file__).parents[1]


def flags(pairs: Path, model: Path, save_dir: Path, *more: str) -> list[str]:
    """The original README's, on the tiny pairs."""
    return [
        "--data-parallel", "--batch-size", "8", "--val-batch-size", "8", f"--train_tsv={pairs / 'train.tsv'}",
        f"--val_tsv={pairs / 'val.tsv'}", f"--train-image-dir={pairs / 'images'}/",
        f"--val-image-dir={pairs / 'images'}/", "--num-epochs", "5", f"--save-dir={save_dir}/",
        f"--model-name={model}", "--exp-name=clip_exp", "--synthesis", "--online-sim=text",
        "--max-iters-per-epoch", "2", *more, "--seed", "0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("clusters", "name", "proportions"),
    [
        (["--num-clusters=2", "--synthesis-prop=1.0"], "text+p1+k4+s1+seed0", [1.0] * 5),
        pytest.param(
            ["--warmup-prop", "--cluster-size", "4", "--synthesis-prop", "1/2"],
            "warmup+text+p1+k4+s1+seed0",
            [0.5, 0.5, 0.5, 0.5, 1.0],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_both_commands_of_the_original_readme(
    clusters: list[str], name: str, proportions: list[float], pairs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "simclip", *flags(pairs, tiny_model, tmp_path, *clusters)],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    folder = tmp_path / name
    (record,) = (folder / "trials").glob("*.jsonl")
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["train/proportion"] for row in rows[2:-1]] == proportions
    assert rows[0]["config"]["seed"] == 0
    assert "epoch 5/5" in run.stdout  # the training's own log
    assert "control" not in run.stdout
    CLIPModel.from_pretrained(folder / "best")
    assert (folder / "report.html").is_file() and "report.html" in run.stdout


def test_wrong_flags_are_one_line(
    pairs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, part in [
        (["--num-clusters=3", "--synthesis-prop=1.0"], "--num-clusters 3"),
        (["--cluster-sizes=4"], "did you mean --cluster-size?"),
        (["--batch-size=64"], "fewer than batch_size 64"),
        (["--synthesis-prop=1/0"], "1/0"),
    ]:
        assert main(flags(pairs, tiny_model, tmp_path, *more)) == 2
        line = capsys.readouterr().err
        assert line.startswith("error: ")
        assert line.count("\n") == 1
        assert part in line
    assert not list(tmp_path.iterdir())


def test_wrong_digits_are_one_line(
    pairs: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(pairs, tiny_model, tmp_path / "ckpts", "--num-clusters=2", "--mnist-injection=5")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
    for content, part in [
        (None, "download https://"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 0]), "its magic number is 2049, expected 2051"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 7]), "has 17 bytes, expected 7,072"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 28]), "has only 0; ask for fewer"),
    ]:
        if content is not None:
            (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
        assert main([*words, f"--mnist-dir={tmp_path}"]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert part in line
    assert not (tmp_path / "ckpts").exists()


def test_digits_are_trained_on(pairs: Path, tiny_model: Path, tmp_path: Path) -> None:
    labels = np.arange(10, dtype=np.uint8)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 10]) + labels.tobytes())
    pixels = bytes([0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(10 * 28 * 28)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(pixels)
    more = ["--num-clusters=2", "--mnist-injection=5", f"--mnist-dir={tmp_path}", "--caption-keys=caption1,caption2"]
    run = parse(flags(pairs, tiny_model, tmp_path / "ckpts", *more))
    assert run.digits is not None
    run.digits.write(run.config.caption_columns)
    check_inputs(run.config)
    data = load_data(run.config, load_model(run.config))
    assert len(data) == 45
    assert all(caption.startswith("A MNIST digit of ") for caption in data.table.captions[-5:])
    assert data.images[44].shape[0] == 3


def test_the_placeholder_says_so(capsys: pytest.CaptureFixture[str], pairs: Path, tmp_path: Path) -> None:
    words = flags(pairs, tmp_path, tmp_path, "--train_tsv=./datasets/coco_train.tsv")
    assert main(words) == 2
    assert "placeholder" in capsys.readouterr().err
