"""Micro-batches give the whole batch's loss and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from simclip.models.loss import LOSSES
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.gradients import backward_in_parts, backward_whole
from simclip.train.loop import Training


def gradients(config: TrainConfig, folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    training = Training(config, folder)
    batch = next(training.data.batches(training.planner.plan(0), training.share, config.seed, 0))
    loss = training.step(batch).item()
    return loss, {name: p.grad for name, p in training.clip.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("size", "hardness"), [(1, 0.0), (3, 0.0), (4, 0.0), (8, 0.0), (100, 0.0), (3, 0.5)])
def test_in_parts_as_at_once(config: TrainConfig, tmp_path: Path, size: int, hardness: float) -> None:
    config = config.model_copy(update={"hardness": hardness})
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

    backward_in_parts(embed, len(pairs), Workers(), LOSSES["infonce"], 2, towers)
    assert set(passes) == {0, 2, 4}
    assert all(torch.equal(first, second) for first, second in passes.values())
    assert not torch.equal(passes[0][0], passes[2][0])


#: No hardness, and some.
HARDNESS = (0.0, 0.4)


class Towers(torch.nn.Module):
    """Two linear towers and a scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = torch.nn.Linear(6, 4), torch.nn.Linear(6, 4)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return normalize(self.image(pairs[:, 0])), normalize(self.text(pairs[:, 1])), self.scale.exp()


def gradients_of_towers(workers: Workers, size: int | None, hardness: float) -> list[torch.Tensor]:
    """The loss and the gradients on 24 pairs, in micro-batches of `size`."""
    towers, objective = Towers(), LOSSES["infonce"].with_hardness(hardness)
    share = torch.randn(24, 2, 6, generator=torch.Generator().manual_seed(1))[workers.share_of(24)]
    parallel = DistributedDataParallel(towers) if workers.size > 1 else towers

    def embed(rows: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        images, texts, scale = parallel(share[rows])
        return images, texts, scale

    if size is None:
        loss = backward_whole(embed, len(share), workers, objective)
    else:
        loss = backward_in_parts(embed, len(share), workers, objective, size, parallel)
    return [loss, *(each.grad for each in towers.parameters() if each.grad is not None)]


def compute_in_worker(rank: int, folder: str, count: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    torch.set_num_threads(1)
    workers = Workers.current()
    found = [[gradients_of_towers(workers, size, hardness) for size in (None, 2)] for hardness in HARDNESS]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow  # starting the processes takes half a minute; two of them are in tests/runtime/test_workers.py
@pytest.mark.parametrize("count", [3, 4])
def test_workers_find_the_gradients_of_one_process(count: int, tmp_path: Path) -> None:
    expected = [gradients_of_towers(Workers(), None, hardness) for hardness in HARDNESS]
    assert len(expected[0]) == 6 and not torch.equal(expected[0][0], expected[1][0])
    mp.spawn(compute_in_worker, (str(tmp_path), count), nprocs=count)
    for rank in range(count):
        for found, references in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            for gradient, reference in ((g, r) for way in found for g, r in zip(way, references, strict=True)):
                torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-6)
