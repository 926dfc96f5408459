"""A training run: it learns, resumes exactly, and is the same every time."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row
from simclip.train.loop import Training
from simclip.train.precompute import prepare
from tests.train.histories import without_clocks


def train(config: TrainConfig, folder: Path, resume: Path | None = None) -> tuple[list[Row], Training]:
    training = Training(config, folder)
    if resume:
        training.resume(resume)
    return training.run(lambda history, checkpoint: None), training


def weights(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.clip.model.state_dict().items()}


def test_history_has_the_untouched_model_and_every_epoch(config: TrainConfig, tmp_path: Path) -> None:
    history, _ = train(config, tmp_path)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert history[-1]["train/loss"] < history[1]["train/loss"]
    assert {"val/mean_r1", "val/t2i_r1", "val/i2t_r200", "val/loss", "metric", "seconds"} <= set(history[0])
    assert history[1]["metric"] == history[1]["val/mean_r1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-0003"]


@pytest.mark.parametrize("proportion", [0.0, 1.0])
def test_history_has_the_coverage_of_every_epoch(config: TrainConfig, tmp_path: Path, proportion: float) -> None:
    given = config.model_copy(update={"proportion": proportion, "embeddings": "offline"})  # plans can be made again
    history, training = train(given, tmp_path)
    for row in history[1:]:
        counts = Counter(np.concatenate(list(training.planner.plan(row["epoch"] - 1))).tolist())
        assert row["train/rows_seen"] == len(counts) / len(training.data)
        assert row["train/largest_count"] == max(counts.values())
        assert row["train/effective_rows"] == counts.total() ** 2 / sum(n * n for n in counts.values())
        assert (row["train/rows_seen"] == 1) == (proportion == 0)


def test_a_step_keeps_the_factor_of_the_cosines_at_100_or_below(config: TrainConfig, tmp_path: Path) -> None:
    training = Training(config, tmp_path)
    training.clip.model.logit_scale.data.fill_(6.0)
    training.step(next(training.data.batches(training.planner.plan(0), training.share, config.seed, 0)))
    assert training.clip.model.logit_scale.exp().item() == pytest.approx(100, rel=1e-5)


def test_a_history_that_was_reported_stays_as_it_was(config: TrainConfig, tmp_path: Path) -> None:
    # Whoever sends it on may do so when the next epoch has ended.
    reported: list[list[Row]] = []
    Training(config, tmp_path).run(lambda history, checkpoint: reported.append(history))
    assert [len(history) for history in reported] == [1, 2, 3, 4]


@pytest.mark.parametrize("changes", [{}, {"embeddings": "offline", "similarity": "image"}, {"lr_schedule": "cosine"}])
def test_resuming_after_epoch_two_equals_training_straight_through(
    config: TrainConfig, tmp_path: Path, changes: dict[str, str]
) -> None:
    config = TrainConfig(**{**config.model_dump(), **changes, "epochs": 4})
    kept: list[Path] = []

    def keep_second(history: list[Row], checkpoint: Path | None) -> None:
        if checkpoint and history[-1]["epoch"] == 2:
            kept.append(Path(shutil.copytree(checkpoint, tmp_path / "kept")))

    straight = Training(config, tmp_path / "straight")
    straight.run(keep_second)
    resumed_history, resumed = train(config, tmp_path / "resumed", kept[0])
    assert without_clocks(resumed_history) == without_clocks(straight.history)
    expected = weights(straight)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(resumed).items())


def test_same_configuration_same_numbers_whatever_ran_before(config: TrainConfig, tmp_path: Path) -> None:
    first, _ = train(config, tmp_path / "first")
    train(config.model_copy(update={"seed": 2}), tmp_path / "other")
    torch.rand(7)
    again, _ = train(config, tmp_path / "again")
    assert without_clocks(first) == without_clocks(again)


def test_seeds_differ_and_zero_is_a_seed(config: TrainConfig, tmp_path: Path) -> None:
    losses = {
        train(config.model_copy(update={"seed": seed, "epochs": 1}), tmp_path / str(seed))[0][-1]["train/loss"]
        for seed in (0, 1, 2)
    }
    assert len(losses) == 3


def test_best_and_last_are_ordinary_folders(config: TrainConfig, tmp_path: Path) -> None:
    history, training = train(config, tmp_path)
    checkpoint = tmp_path / "epoch-0003"
    for name in ("best", "last"):
        AutoTokenizer.from_pretrained(checkpoint / name)
        assert (checkpoint / name / "preprocessor_config.json").is_file()
    last = CLIPModel.from_pretrained(checkpoint / "last")
    expected = weights(training)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in last.state_dict().items())
    # The best folder scores what the best epoch scored.
    best = best_row(history, config.mode)
    again = Training(config.model_copy(update={"model": str(checkpoint / "best")}), tmp_path / "again")
    assert best is not None
    assert again.evaluate()["val/mean_r1"] == best["metric"]


def test_pretrain_starts_from_weights_of_the_seed(config: TrainConfig, tmp_path: Path) -> None:
    one, two, again = (
        weights(Training(config.model_copy(update={"pretrain": True, "seed": seed}), tmp_path)) for seed in (1, 2, 1)
    )
    name = "visual_projection.weight"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], two[name])


def test_not_a_number_is_never_best() -> None:
    rows = [{"epoch": e, "metric": m} for e, m in enumerate([9.0, 0.1, float("nan"), 0.3, 0.3])]
    assert best_row(rows, "max") is rows[3]
    assert best_row(rows, "min") is rows[1]
    assert best_row(rows[:1], "max") is None


def test_the_untouched_model_is_scored_once_for_all_trials(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Training(config, tmp_path).evaluate()
    scored: list[str] = []
    plain = Training.evaluate

    def counted(self: Training, epoch: int = 0) -> dict[str, float]:
        scored.append(self.config.metric if isinstance(self.config.metric, str) else "")
        return plain(self, epoch)

    monkeypatch.setattr(Training, "evaluate", counted)

    def untouched(**changes: Any) -> Row:
        changed = TrainConfig(**{**config.model_dump(), "epochs": 1, **changes})
        return train(changed, tmp_path / str(len(scored)) / str(changes))[0][0]

    first = untouched()
    assert {name: first[name] for name in fresh} == fresh
    assert len(scored) == 2  # the untouched model, and the epoch
    assert without_clocks([untouched(seed=7, cluster_size=2)]) == without_clocks([first])
    assert len(scored) == 3
    # Another objective of the same scores; other weights, other sets and other batches are scored anew.
    assert untouched(metric="val/loss", mode="min")["metric"] == fresh["val/loss"]
    assert len(scored) == 4
    assert untouched(pretrain=True)["metric"] != first["metric"]
    untouched(val_batch_size=5)
    assert untouched(val_tsv=config.train_tsv)["val/loss"] != first["val/loss"]
    assert len(scored) == 10


def test_one_row_per_caption_trains_and_scores_as_one_row_per_image(config: TrainConfig, tmp_path: Path) -> None:
    def split(tsv: Path | None) -> Path:
        assert tsv is not None
        _, *rows = [line.split("\t") for line in tsv.read_text().splitlines()]
        lines = ["image\tcaption", *(f"{image}\t{caption}" for image, *captions in rows for caption in captions)]
        (tmp_path / tsv.name).write_text("\n".join(lines) + "\n")
        return tmp_path / tsv.name

    long = config.model_copy(update={"train_tsv": split(config.train_tsv), "val_tsv": split(config.val_tsv)})
    whole, _ = train(config, tmp_path / "whole")
    merged, _ = train(long, tmp_path / "merged")
    assert without_clocks(merged) == without_clocks(whole)
    assert prepare(long) == [
        f"{tmp_path / 'train.tsv'}: 120 rows name 40 images; the captions of each image are merged",
        f"{tmp_path / 'val.tsv'}: 36 rows name 12 images; the captions of each image are merged",
    ]
    assert prepare(config) == []


def test_utilisation_counts_the_time_that_the_card_waits_for_data(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simclip.train.loop.peak_flops", lambda device, dtype: 1e9)
    monkeypatch.setattr("simclip.models.flops.FlopCounter.step", lambda counter, pairs, tokens: 1e6)
    history, training = train(config, tmp_path)
    for row in history[1:]:
        seconds = (row["share/data"] + row["share/step"]) * row["seconds"]
        assert row["mfu"] == pytest.approx(training.iterations * 1e6 / seconds / 1e9)
