"""Checkpoints are written while the next epoch is trained, as often as asked, and lose nothing."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from simclip.data.training_set import Batch
from simclip.models.clip import Clip
from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row, finished_epochs
from simclip.train.loop import Training
from tests.train.histories import without_clocks

PATIENCE = 60.0


class Watched(Training):
    """Counts the steps, and keeps the weights after each epoch."""

    steps = 0
    metrics: tuple[float, ...] = ()

    def step(self, batch: Batch) -> torch.Tensor:
        self.steps += 1
        return super().step(batch)

    def evaluate(self, epoch: int = 0) -> dict[str, float]:
        self.weights = [*getattr(self, "weights", []), copied(self.clip.model)]
        scores = super().evaluate(epoch)
        return scores | {self.config.metric: self.metrics[epoch]} if self.metrics else scores


def copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    return copied(CLIPModel.from_pretrained(folder))


def test_the_next_epoch_is_trained_while_a_checkpoint_is_written(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the checkpoint is that of its own epoch."""
    training = Watched(config, tmp_path / "run")
    stepped, save, kept = threading.Event(), Clip.save, tmp_path / "kept"

    def wait_for_a_step(clip: Clip, folder: Path) -> None:
        if folder.parent.name != f"epoch-{config.epochs:04d}":
            before = training.steps
            assert before == training.iterations * int(folder.parent.name[-4:])
            stepped.clear()
            assert stepped.wait(PATIENCE)
        save(clip, folder)

    def step(batch: Batch) -> torch.Tensor:
        loss = Watched.step(training, batch)
        stepped.set()
        return loss

    monkeypatch.setattr(Clip, "save", wait_for_a_step)
    monkeypatch.setattr(training, "step", step)
    training.run(lambda history, folder: folder and shutil.copytree(folder, kept / folder.name) and None)
    for epoch in range(1, config.epochs + 1):
        assert same(loaded(kept / f"epoch-{epoch:04d}" / "last"), training.weights[epoch])
    monkeypatch.undo()
    resumed = Training(config, tmp_path / "resumed")
    resumed.resume(kept / "epoch-0001")
    assert without_clocks(resumed.run(lambda *_: None)) == without_clocks(training.history)
    assert same(copied(resumed.clip.model), training.weights[-1])


@pytest.mark.parametrize("metrics", [(0.0, 0.5, 0.3, 0.6, 0.2, 0.1), (0.0, 0.1, 0.3, 0.2, 0.2, 0.4)])
def test_as_often_as_asked_and_always_the_best_model(
    config: TrainConfig, tmp_path: Path, metrics: tuple[float, ...]
) -> None:
    """The best epoch is in turn one that a run resumes from and one between them."""
    config = config.model_copy(update={"epochs": 5, "checkpoint_every": 2})
    seen: list[tuple[int, list[int], int]] = []
    training = Watched(config, tmp_path / "run")
    training.metrics = metrics

    def note(history: list[Row], folder: Path | None) -> None:
        epoch, best = history[-1]["epoch"], best_row(history, config.mode)
        if epoch == 0:
            assert folder is None
            return
        there = sorted(each for each in (tmp_path / "run").iterdir())
        resumable = [finished for each in there if (finished := finished_epochs(each)) is not None]
        assert best is not None
        assert (folder is None) == (epoch == 3 and best["epoch"] != 3)
        assert same(loaded(there[-1] / "best"), training.weights[best["epoch"]])
        seen.append((epoch, resumable, best["epoch"]))
        if epoch == 3:
            shutil.copytree(there[0], tmp_path / "kept")

    training.run(note)
    assert [(epoch, resumable) for epoch, resumable, _ in seen] == [(1, []), (2, [2]), (3, [2]), (4, [4]), (5, [5])]
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["epoch-0005"]
    resumed = Watched(config, tmp_path / "resumed")
    resumed.metrics = metrics
    resumed.resume(tmp_path / "kept")
    resumed.run(lambda *_: None)
    assert without_clocks(resumed.history) == without_clocks(training.history)
    assert same(loaded(tmp_path / "resumed" / "epoch-0005" / "best"), training.weights[seen[-1][2]])


def test_an_epoch_whose_checkpoint_fails_is_not_reported_and_costs_no_earlier_one(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []
    training = Watched(config, tmp_path)

    def report(history: list[Row], folder: Path | None) -> None:
        reported.append(history[-1]["epoch"])
        if reported[-1] == 1:
            monkeypatch.setattr(torch, "save", full)

    def full(*arguments: object) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        training.run(report)
    assert reported == [0, 1]
    assert [finished_epochs(each) for each in sorted(tmp_path.iterdir())] == [1, None]
    assert training.steps < config.epochs * training.iterations


def test_a_report_that_ends_the_run_ends_it_at_the_next_step(config: TrainConfig, tmp_path: Path) -> None:
    """As the scheduler does it, by an exception in the report."""
    training = Watched(config.model_copy(update={"iterations_per_epoch": 50}), tmp_path)

    def stop(history: list[Row], folder: Path | None) -> None:
        if history[-1]["epoch"] == 1:
            raise SystemExit

    with pytest.raises(SystemExit):
        training.run(stop)
    assert 50 <= training.steps < 100
    assert [finished_epochs(each) for each in tmp_path.iterdir()] == [1]
