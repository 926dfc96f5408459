"""Checkpoints: everything comes back, and the best epoch outlives the folder that it was written in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import CLIPModel

from simclip.models.clip import Clip
from simclip.train.checkpoint import Snapshot, restore_checkpoint, write_checkpoint
from simclip.train.config import TrainConfig
from simclip.train.history import read_history
from simclip.train.load import load_model
from tests.train.made import optimizer_of, schedule_of

Parts = tuple[Clip, torch.optim.Optimizer, LambdaLR]


def parts(config: TrainConfig) -> Parts:
    clip = load_model(config)
    optimizer = optimizer_of(clip.model, config)
    return clip, optimizer, schedule_of(optimizer, config, 50)


def step(state: Parts, seed: int) -> None:
    """One update, by gradients of that seed."""
    clip, optimizer, schedule = state
    draw = torch.Generator().manual_seed(seed)
    for parameter in clip.model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()
    schedule.step()


def weights(clip: Clip) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}


def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_been(config: TrainConfig, tmp_path: Path) -> None:
    straight, resumed = parts(config), parts(config)
    for seed in range(15):
        step(straight, seed)
    history = [{"epoch": 0, "metric": 0.1}, {"epoch": 1, "metric": float("nan")}]
    write_checkpoint(tmp_path / "one", Snapshot.of(*straight), history, None)
    restore_checkpoint(tmp_path / "one", *resumed)
    for state in (straight, resumed):
        step(state, 99)
    expected = weights(straight[0])
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(resumed[0]).items())
    assert resumed[2].get_last_lr() == straight[2].get_last_lr()
    assert str(read_history(tmp_path / "one")) == str(history)


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
def test_the_best_epoch_is_kept_while_its_checkpoint_goes(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(source: str, target: str) -> None:
            raise OSError("not supported")

        monkeypatch.setattr(os, "link", refuse)
    state = parts(config)
    step(state, 1)
    best = weights(state[0])
    write_checkpoint(tmp_path / "1", Snapshot.of(*state), [], None)
    for epoch in (2, 3):
        step(state, epoch)
        write_checkpoint(tmp_path / str(epoch), Snapshot.of(*state), [], tmp_path / str(epoch - 1) / "best")
        shutil.rmtree(tmp_path / str(epoch - 1))
    for name, expected in (("best", best), ("last", weights(state[0]))):
        found = CLIPModel.from_pretrained(tmp_path / "3" / name).state_dict()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())
    files = {path.relative_to(tmp_path / "3") for path in (tmp_path / "3").rglob("*") if path.is_file()}
    assert {path.parts[0] for path in files} == {
        "last",
        "best",
        "training_state.pt",
        "history.json",
        "checksums.json",
        "manifest.json",
    }
    assert {path.name for path in files if path.parts[0] == "best"} == {p.name for p in files if p.parts[0] == "last"}


@pytest.mark.parametrize("fused", [True, False])
def test_an_optimizer_keeps_its_own_implementation(config: TrainConfig, tmp_path: Path, fused: bool) -> None:
    """As where a run goes on on another device: AdamW is fused on cards, not on CPUs."""
    state = parts(config)
    step(state, 1)
    write_checkpoint(tmp_path / "1", Snapshot.of(*state), [{"epoch": 0, "metric": 0.0}], None)
    clip, optimizer, schedule = parts(config)
    for group in optimizer.param_groups:
        group["fused"], group["lr"] = fused, 0.5
    restore_checkpoint(tmp_path / "1", clip, optimizer, schedule)
    assert [group["fused"] for group in optimizer.param_groups] == [fused] * 2
    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in state[1].param_groups]
    step((clip, optimizer, schedule), 2)
    step(state, 2)
    for name, tensor in weights(clip).items():
        torch.testing.assert_close(tensor, weights(state[0])[name])
