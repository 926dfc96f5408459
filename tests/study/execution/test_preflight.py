"""What a study says about its data before any trial starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tune import main


@pytest.mark.usefixtures("without_ray")
def test_a_file_in_the_results_names_the_images_that_were_left_out(
    config: TrainConfig, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs / "images", tmp_path / "images")
    (tmp_path / "images" / "003.png").write_bytes(b"")
    (tmp_path / "images" / "007.png").write_bytes(b"<html>gone</html>")
    train = {"bad_images": "skip", "train_image_dir": str(tmp_path / "images"), "epochs": 1}
    file = write_study(config, tmp_path / "tiny.yaml", train=train, parameters={"cluster_size": {"value": 4}})
    assert main(["run", str(file), "--results", str(tmp_path / "results")]) == 0
    listing = tmp_path / "results" / "tiny" / "left-out.tsv"
    assert listing.read_text().splitlines() == [
        "image\treason",
        f"{tmp_path}/images/003.png\tthe file is empty",
        f"{tmp_path}/images/007.png\tit is an HTML page",
    ]
    said = capsys.readouterr().out
    assert f"2 images are left out of training; their names and the reasons: {listing}\n" in said
    assert said.count("left out") == 2  # and once, how many


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("flag", [["--dry-run"], []])
def test_training_on_evaluation_images_is_warned_of(
    flag: list[str], config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {
        "train_tables": [{"tsv": str(config.val_tsv), "image_dir": str(config.val_image_dir), "limit": 3}],
        "epochs": 1,
    }
    file = write_study(config, tmp_path / "tiny.yaml", train=train, parameters={"cluster_size": {"value": 4}})
    assert main(["run", str(file), "--results", str(tmp_path / "results"), *flag]) == 0
    assert capsys.readouterr().out.count("warning: val: 3 of 12 images are also trained on, the first ") == 1
