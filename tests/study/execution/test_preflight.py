"""What a study says about its data before any trial starts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from simclip.cli import session
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
    flag: list[str],
    config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "show_forecast", lambda *words: None)  # which starts Ray
    train = {
        "train_tables": [{"tsv": str(config.val_tsv), "image_dir": str(config.val_image_dir), "limit": 3}],
        "epochs": 1,
    }
    file = write_study(config, tmp_path / "tiny.yaml", train=train, parameters={"cluster_size": {"value": 4}})
    assert main(["run", str(file), "--results", str(tmp_path / "results"), *flag]) == 0
    assert capsys.readouterr().out.count("warning: val: 3 of 12 images are also trained on, the first ") == 1


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("repeated", [True, False])
def test_results_that_count_rows_as_images_are_not_added_to(
    repeated: bool, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config.val_tsv is not None
    header, first, *rest = config.val_tsv.read_text().splitlines()
    (tmp_path / "val.tsv").write_text("\n".join([header, first, *rest, *([first] if repeated else [])]))
    train = {"val_tsv": str(tmp_path / "val.tsv"), "epochs": 1}
    command = ["run", str(write_study(config, tmp_path / "tiny.yaml", train=train)), "--results", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.count("13 rows name 12 images") == repeated
    folder = tmp_path / "tiny"
    lines = (folder / "study.yaml").read_text().splitlines()
    (folder / "study.yaml").write_text("\n".join(line for line in lines if "exif" not in line))  # an earlier version's
    assert main(command) == 2 * repeated
    if repeated:
        line = capsys.readouterr().err
        assert "13 rows name 12 images" in line and "begin anew with --fresh" in line and line.count("\n") == 1
        assert main([*command, "--fresh"]) == 0


#: Fields of a study, the training fields and the parameters, and what is said about them.
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a method without clusters": (
        {"batching": "graph", "proportion": 0},
        {"learning_rate": {"values": [1e-3, 1e-4]}},
        "batching graph has no effect, since no arm with it has clusters: set proportion above 0",
    ),
    "a limit without clusters": (
        {"proportion": 0},
        {"method": {"values": [{"hardness": 0.5, "skip_nearest": 0}, {"hardness": 0, "skip_nearest": 3}]}},
        "skip_nearest 3 has no effect, since no arm with it has clusters",
    ),
    "a forgotten proportion": (
        {"cluster_size": 4},
        {"method": {"values": [{"batching": "clusters", "proportion": 1}, {"batching": "partition", "proportion": 0}]}},
        "batching partition has no effect, since no arm with it has clusters",
    ),
    "skipped ranks that leave too few rows": (
        {"batching": "partition", "cluster_size": 4},
        {"skip_nearest": {"values": [2, 33]}},
        "arm skip33: skip_nearest 33 leaves 6 of 40 rows as neighbours, too few for batches of 8: expected at most 32",
    ),
    "groups that do not fit the batch": (
        {"batching": "partition"},
        {"cluster_size": {"values": [2, 8]}},
        "arm k8: cluster_size 8 is larger than the 4 clustered rows of a batch",
    ),
}


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("kind", REFUSED)
def test_methods_that_cannot_work_are_refused_in_one_line_before_a_trial(
    kind: str, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, parameters, message = REFUSED[kind]
    file = write_study(config, tmp_path / "tiny.yaml", train=train, parameters=parameters)
    assert main(["run", str(file), "--results", str(tmp_path / "results")]) == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("without_ray")
def test_a_method_that_some_combinations_do_without_is_no_mistake(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "show_forecast", lambda *words: None)  # which starts Ray
    grid = {"batching": {"values": ["clusters", "partition"]}, "proportion": {"values": [0, 0.5]},
            "learning_rate": {"min": 1e-4, "max": 1e-3}}  # fmt: skip
    search = {"searcher": "random", "trials": 6, "parameters": grid}
    file = write_study(config, tmp_path / "tiny.yaml", train={"cluster_size": 4}, **search)
    assert main(["run", str(file), "--results", str(tmp_path / "results"), "--dry-run"]) == 0, capsys.readouterr().err
