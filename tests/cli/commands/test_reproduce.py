"""`tune.py reproduce`: trials of a finished study run again, and are compared to the last bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands.typed import tune
from tests.conftest import tiny_run, write_study
from tune import main


@pytest.fixture(scope="module")
def finished(pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of both stages, tracked; what is told in it is looked at here too."""
    folder = tmp_path_factory.mktemp("finished")
    study = write_study(tiny_run(pairs, tiny_model), folder / "tiny.yaml", train={"epochs": 2})
    words = ["run", str(study), "--results", str(folder), "confirm={arms: 1, seeds: 3}"]
    process = tune(*words, WANDB_MODE="offline", SIMCLIP_CACHE=str(folder / "cache"))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "Weights & Biases is on (WANDB_MODE=offline)" in out
    assert "can detect a difference of" in out
    assert err == ""  # no library talks into the study's own lines
    return folder / "tiny"


def test_a_study_with_both_stages_leaves_tracks(finished: Path) -> None:
    assert len(list((finished / "wandb").glob("offline-run-*/run-*.wandb"))) == 9
    assert len(list((finished / "tensorboard").glob("*/events.out.tfevents.*"))) == 9
    assert (finished / "report.html").is_file()


Reproduce = Callable[..., tuple[int, str]]


@pytest.fixture
def reproduced(without_ray: None, capsys: pytest.CaptureFixture[str]) -> Reproduce:
    """Runs `tune.py reproduce`; returns its exit code and what it prints."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["reproduce", *words])
        out, err = capsys.readouterr()
        assert err == ""
        return code, " ".join(out.split())

    return run


def test_reproduce_passes(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished))
    assert code == 0 and "PASS" in out
    assert (finished / "reproduced" / "best" / "model.safetensors").is_file()


def test_reproduce_tells_a_difference(finished: Path, reproduced: Reproduce, tmp_path: Path) -> None:
    results = shutil.copytree(finished, tmp_path / "tiny", ignore=shutil.ignore_patterns("reproduced*"))
    best = results / "best.yaml"
    content: dict[str, Any] = yaml.safe_load(best.read_text())
    content["expect"]["val/loss"] += 1e-9
    content["confirmed"] |= {"mean": 0.0, "std": 1e-9}
    best.write_text(yaml.safe_dump(content))
    code, out = reproduced(str(results))
    assert code == 1 and "DIFFERENT: 1 of" in out
    assert "val/loss" in out and "outside of the range of one such run" in out


def test_a_trial_can_be_run_on_fresh_seeds(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished), "--trial", "control-s1001", "--seeds", "2")
    seeds = ["2000", "2001"]
    assert all(f"(seed {seed})" in out for seed in seeds)
    passed = "PASS: inside" in out
    assert passed != ("DIFFERENT: not inside" in out)
    assert code == (0 if passed else 1)
    records = finished / "reproduced-control-s1001-seeds" / "trials"
    assert sorted(path.name for path in records.iterdir()) == [f"control-s{seed}.jsonl" for seed in seeds]


def test_any_trial_can_be_run_again(finished: Path, reproduced: Reproduce) -> None:
    code, out = reproduced(str(finished), "--trial", "k2-s1")
    assert code == 0 and "PASS: all" in out
