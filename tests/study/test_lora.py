"""Studies of LoRA: searched and confirmed, interrupted, reproduced, and what their models and results hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from simclip.cli import session
from simclip.study.search.plan import planned_arms
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.train.config import TrainConfig
from tests.conftest import write_study
from tests.study.in_process import run_here
from tests.study.watched import Events, figures, interrupt_at
from tune import main

MakeStudy = Callable[..., StudyConfig]
RANKS = {"lora_rank": {"values": [0, 2]}, "cluster_size": {"value": 4}}


def test_rank_alpha_and_targets_are_searched_with_a_control_each(make_study: MakeStudy) -> None:
    parameters = {
        "cluster_size": {"value": 4},
        "lora_rank": {"values": [0, 2]},
        "lora_alpha": {"values": [2, 8]},
        "lora_targets": {"values": [None, ["q_proj", "v_proj"]]},
    }
    arms = planned_arms(make_study(parameters=parameters))
    # With rank 0, alpha and targets say nothing: those are one arm.
    assert len(arms) == 2 * (1 + 2 * 2)
    controls = [arm for arm in arms if arm.is_control]
    assert sorted(arm.config.lora_rank for arm in controls) == [0, 2, 2, 2, 2]
    assert len({arm.name for arm in arms}) == len(arms)


@pytest.mark.usefixtures("without_ray")
def test_a_study_of_ranks_is_confirmed_and_reproduced(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {"epochs": 2, "learning_rate": 1e-2}
    file = write_study(config, tmp_path / "tiny.yaml", train=train, parameters=RANKS, confirm={"arms": 2, "seeds": 3})
    assert main(["run", str(file), "--results", str(tmp_path)]) == 0
    folder = tmp_path / "tiny"
    content = json.loads((folder / layout.RESULTS).read_text())
    arms = {arm["name"] for arm in content["search"]["arms"]}
    assert len(arms) == 4 and len(content["confirm"]["arms"]) == 3
    assert "peft" in content["versions"]
    base = load_file(Path(config.model) / "model.safetensors")
    for model in (folder / layout.MODELS).glob("*/best/model.safetensors"):  # ordinary, with adapters or without
        assert load_file(model).keys() == base.keys()
    [adapted] = [name for name in arms if "lora2" in name and not name.startswith("control")]
    capsys.readouterr()
    assert main(["reproduce", str(folder), "--trial", f"{adapted}-s1000"]) == 0
    assert "PASS: all" in " ".join(capsys.readouterr().out.split())


def test_an_interrupted_study_goes_on_from_adapters(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(parameters=RANKS, train={"epochs": 3, "lora_rank": 2, "learning_rate": 1e-2})
    whole, _ = run_here(study, tmp_path / "whole")
    [name] = [each for each in whole.records if "lora2" in each and not each.startswith("control")]
    first, folder = run_here(study, tmp_path, [Events(interrupt_at(name, 2))])
    assert first.interrupted
    [last] = (folder.path / layout.TUNE).glob(f"{name}@*/*/last")
    assert [each.name for each in last.iterdir()] == ["adapters.safetensors"]
    again = Events()
    second, _ = run_here(study, tmp_path, [again])
    assert again.epochs[0] == (name, 3)
    assert figures(second) == figures(whole)


def test_a_dry_run_refuses_targets_before_ray_is_started(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "connect", lambda address: pytest.fail("Ray was started"))
    file = write_study(config, tmp_path / "tiny.yaml", train={"lora_rank": 2, "lora_targets": ["fc1", "query"]})
    assert main(["run", str(file), "--dry-run", "--results", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: lora_targets query: no linear layer") and said.count("\n") == 1
