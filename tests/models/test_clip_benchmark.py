"""The real clip_benchmark on an exported model: the recalls that our own evaluation has, on the same pairs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simclip.cli.commands.export import benchmark_command
from simclip.data.pair_table import CaptionTable, read_captions, read_table
from simclip.data.table import Table
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.history import Row
from simclip.train.loop import Training
from tests.conftest import draw_pair
from tune import main

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real"

pytest.importorskip("clip_benchmark", reason="pip install -r requirements-evaluation.txt")

pytestmark = pytest.mark.slow


def as_flickr30k(table: CaptionTable, folder: Path) -> Path:
    """Pairs as clip_benchmark has Flickr30k: images, and a text file of their names and captions."""
    folder.mkdir()
    lines = ["image,caption"]
    for row, image in enumerate(table.images):
        (folder / image.name).symlink_to(image)
        lines += [f"{image.name},{caption}" for caption in table.captions[table.starts[row] : table.starts[row + 1]]]
    (folder / "flickr30k_test_karpathy.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def check_same_recalls(
    trained: Row, model: Path, table: CaptionTable, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Export a model, run the printed command, and compare with what the run measured itself."""
    capsys.readouterr()
    assert main(["export", str(model), "--to", str(folder / "exported")]) == 0
    printed = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert printed == benchmark_command(folder / "exported")
    datasets = as_flickr30k(table, folder / "flickr30k")
    words = [str(datasets) if word == "DATASETS" else word for word in printed[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "tests.torchvision_operators", *words[:-1], str(folder / "measured.json")],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((folder / "measured.json").read_text())["metrics"]
    for k in (1, 5, 10):
        assert measured[f"image_retrieval_recall@{k}"] == pytest.approx(trained[f"val/t2i_r{k}"], abs=1e-6)
        assert measured[f"text_retrieval_recall@{k}"] == pytest.approx(trained[f"val/i2t_r{k}"], abs=1e-6)


def last_of(config: TrainConfig, folder: Path) -> tuple[Row, Path]:
    """The scores after a run, and the model that has them."""
    rows = list(Training(config, folder).run(lambda history, checkpoint: None))
    return rows[-1], folder / f"epoch-{config.epochs:04d}" / "last"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A TSV of 48 JPEG files of odd sizes, with captions that have to be cleaned, and cut."""
    numbers = np.random.default_rng(0)
    lines = ["image\tcaption1\tcaption2\tcaption3\tcaption4"]
    for number in range(48):
        picture, captions = draw_pair(number)
        width, height = (int(side) for side in numbers.integers(24, 200, size=2))
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        picture.convert("L" if number % 12 == 5 else "RGB").save(tmp_path / f"{number}.jpg")
        captions[0] = captions[0].replace(" on ", " &amp;amp;  on \u00a0")
        captions[1] = f"cafÃ©, {captions[1].upper()}"
        captions[2] += ", \u201cseen\u201d again" * (number % 3 * 4)
        lines.append("\t".join([f"{number}.jpg", *captions[: 1 + number % 3], f"number {number}"]))
    (tmp_path / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "pairs.tsv"


def test_clip_benchmark_has_our_recalls(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"tsv": photographs, "image_dir": tmp_path}
    make_tiny_clip(read_captions(photographs), vocabulary=200, image_size=48, width=32).save(tmp_path / "tiny")
    trained, model = last_of(
        TrainConfig(
            train_tables=[Table(**files)], evaluate=[RetrievalSet(name="val", **files)],
            model=str(tmp_path / "tiny"), epochs=12, batch_size=8, learning_rate=3e-3, threads=1,
        ),
        tmp_path / "run",
    )  # fmt: skip
    assert 0.05 < trained["val/t2i_r1"] < 1
    check_same_recalls(trained, model, read_table(files["tsv"], files["image_dir"]), tmp_path, capsys)


def test_on_real_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (REAL / "val.tsv").is_file():
        pytest.skip(f"no real photographs: {REAL} with train.tsv, val.tsv and images/ is not there")
    make_tiny_clip(read_captions(REAL / "train.tsv")).save(tmp_path / "tiny")
    trained, model = last_of(
        TrainConfig(
            train_tables=[Table(tsv=REAL / "train.tsv", image_dir=REAL / "images", limit=384)],
            evaluate=[RetrievalSet(name="val", tsv=REAL / "val.tsv", image_dir=REAL / "images")],
            model=str(tmp_path / "tiny"), pretrain=True, epochs=2, batch_size=32, learning_rate=1e-3, threads=1,
        ),
        tmp_path / "run",
    )  # fmt: skip
    assert trained["val/t2i_r10"] > 0
    check_same_recalls(trained, model, read_table(REAL / "val.tsv", REAL / "images"), tmp_path, capsys)
