"""Micro-batches give the whole batch's loss and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.gradients import backward_in_parts
from simclip.train.loop import Training


def gradients(config: TrainConfig, folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    training = Training(config, folder)
    batch = next(training.data.batches(training.plan(0), training.share, config.seed, 0))
    loss = training.step(batch).item()
    return loss, {name: p.grad for name, p in training.clip.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 3, 4, 8, 100])
def test_in_parts_as_at_once(config: TrainConfig, tmp_path: Path, size: int) -> None:
    whole_loss, whole = gradients(config, tmp_path)
    loss, parts = gradients(config.model_copy(update={"micro_batch_size": size}), tmp_path)
    assert loss == pytest.approx(whole_loss, abs=1e-6)
    assert parts.keys() == whole.keys()
    assert "logit_scale" in parts
    largest = max(gradient.abs().max().item() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=0, atol=1e-5 * largest)
    if size >= config.batch_size:
        assert all(torch.equal(parts[name], gradient) for name, gradient in whole.items())


def test_a_run_in_parts_learns_the_same(config: TrainConfig, tmp_path: Path) -> None:
    histories = [
        Training(config.model_copy(update={"micro_batch_size": size}), tmp_path / str(size)).run(lambda *_: None)
        for size in (None, 3)
    ]
    for whole, parts in zip(*histories, strict=True):
        for name in ("metric", "val/loss", "train/loss"):
            assert parts.get(name) == pytest.approx(whole.get(name), abs=1e-4)


def test_both_passes_of_a_part_draw_the_same_dropout() -> None:
    towers, scale = torch.nn.Dropout(0.5), torch.tensor(1.0, requires_grad=True)
    pairs = torch.ones(6, 32, requires_grad=True)
    passes: dict[int, list[torch.Tensor]] = {}

    def embed(rows: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        embedded = towers(pairs[rows])
        passes.setdefault(rows.start, []).append(embedded.detach())
        return embedded, embedded, scale.exp()

    backward_in_parts(embed, len(pairs), Workers(), 2, towers)
    assert set(passes) == {0, 2, 4}
    assert all(torch.equal(first, second) for first, second in passes.values())
    assert not torch.equal(passes[0][0], passes[2][0])
