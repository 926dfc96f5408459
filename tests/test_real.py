"""A cut of a run on real photographs, where they lie beside the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simclip.clusters.plan import Recipe
from simclip.data.pair_table import read_captions
from simclip.data.table import Table
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.loop import Training

REAL = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture
def real() -> Path:
    """The folder with train.tsv, val.tsv and images/."""
    if not (REAL / "train.tsv").is_file():
        pytest.skip(f"no real photographs: {REAL} with train.tsv, val.tsv and images/ is not there")
    return REAL


def test_a_cut_of_real_photographs_trains_and_is_scored(real: Path, tmp_path: Path) -> None:
    rows = (real / "val.tsv").read_text(encoding="utf-8").split("\n")[:65]
    (tmp_path / "val.tsv").write_text("\n".join(rows), encoding="utf-8")
    make_tiny_clip(read_captions(real / "train.tsv"), width=32, layers=1).save(tmp_path / "tiny")
    config = TrainConfig(
        train_tables=[Table(tsv=real / "train.tsv", image_dir=real / "images", limit=96)],
        evaluate=[RetrievalSet(name="val", tsv=tmp_path / "val.tsv", image_dir=real / "images")],
        model=str(tmp_path / "tiny"), pretrain=True, epochs=1, batch_size=16, val_batch_size=64,
        cluster_size=4, proportion=0.5, learning_rate=1e-3, threads=1,
    )  # fmt: skip
    training = Training(config, tmp_path / "run")
    assert len(training.data) == 96 and len(training.data.tokens) == 480
    assert np.stack(list(training.planner.plan(0))).shape == (6, 16)
    assert Recipe(16, 0.5, 4).cluster_sizes == [4, 4]
    untouched, trained = training.run(lambda history, checkpoint: None)
    for row in (untouched, trained):
        recalls = [row[f"val/{way}_r{k}"] for way in ("t2i", "i2t") for k in (1, 5, 10, 50, 200)]
        assert all(0 <= recall <= 1 for recall in recalls)
        assert row["val/t2i_r200"] == 1  # there are 64 images
    assert trained["train/loss"] > 0 and trained["val/loss"] != untouched["val/loss"]
    assert (tmp_path / "run" / "epoch-0001" / "best" / "model.safetensors").is_file()
