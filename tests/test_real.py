"""A run and a study on real photographs, where they lie beside the project."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from simclip.clusters.plan import Recipe
from simclip.data.pair_table import read_captions
from simclip.data.table import Table
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.data.formats import rows_of, write_shards, write_tar
from tune import main

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


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_a_study_on_shards_of_real_photographs(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both stages, with a pair that lacks its caption and one whose picture does not decode left out."""
    for name, count in (("train", 96), ("val", 48)):
        write_shards(tmp_path / name, rows_of(real / f"{name}.tsv")[:count], real / "images", size=40)
    write_tar(tmp_path / "train" / "bad.tar", [("a.jpg", b"none"), ("a.txt", b"a dog"), ("b.jpg", b"alone")])
    make_tiny_clip(read_captions(real / "train.tsv"), width=32, layers=1).save(tmp_path / "tiny")
    study = tmp_path / "shards.yaml"
    train = {
        "train_tsv": str(tmp_path / "train" / "*.tar"), "val_tsv": str(tmp_path / "val" / "{00000..00001}.tar"),
        "model": str(tmp_path / "tiny"), "pretrain": True, "bad_images": "skip", "batch_size": 16, "epochs": 2,
        "proportion": 0.5, "learning_rate": 1e-3, "threads": 1,
    }  # fmt: skip
    test = {"kind": "retrieval", "name": "test", "tsv": str(tmp_path / "val" / "*.tar")}
    parameters = {"cluster_size": {"values": [2, 4]}}
    content = {"name": "shards", "train": train, "parameters": parameters, "confirm": {"arms": 1, "seeds": 2}}
    study.write_text(yaml.safe_dump({**content, "test": [test]}), encoding="utf-8")

    assert main(["check", str(study)]) == 1  # of the picture that does not decode
    assert "1 images do not decode" in capsys.readouterr().out
    assert main(["run", str(study), "--results", str(tmp_path / "results")]) == 0, capsys.readouterr().err
    results = tmp_path / "results" / "shards"
    trials = pd.read_csv(results / "trials.csv")
    assert trials["stage"].value_counts().to_dict() == {"confirm": 4, "search": 3}
    assert set(trials["outcome"]) == {"finished"} and trials["val/t2i_r50"].eq(1).all()
    assert trials.loc[trials["stage"] == "confirm", "test/mean_r1"].between(0, 1).all()
    left_out = (results / "left-out.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in left_out[1:]] == [
        f"{tmp_path}/train/bad.tar/{key}" for key in ("b", "a.jpg")
    ]
    assert main(["clusters", str(results), "--anchors", "2"]) == 0
    page = (results / "clusters.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page and re.search(r'class="file">0000[0-9]{2}.jpg', page)
    assert main(["reproduce", str(results)]) == 0, capsys.readouterr().out
