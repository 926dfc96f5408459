"""The optimizer's groups, the learning rate over the steps, the clamp."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from simclip.errors import InputError
from simclip.runtime.device import Compute
from simclip.train.config import TrainConfig
from simclip.train.load import load_model
from simclip.train.loop import Training
from simclip.train.optimizer import clamp_logit_scale
from tests.train.made import optimizer_of, schedule_of


def rates(steps: int, **fields: Any) -> list[float]:
    """The learning rate of every step."""
    config = TrainConfig(**fields)
    optimizer = optimizer_of(torch.nn.Linear(2, 2), config)
    schedule = schedule_of(optimizer, config, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_matrices_decay_and_gains_biases_and_the_logit_scale_do_not(config: TrainConfig) -> None:
    model = load_model(config).model
    optimizer = optimizer_of(model, config)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decay.pop(id(parameter)) for name, parameter in model.named_parameters()}
    assert not decay  # each parameter once, and nothing else
    without = {name for name, value in by_name.items() if value == 0}
    endings = ("bias", "norm.weight", "norm1.weight", "norm2.weight", "rnorm.weight", "logit_scale", "class_embedding")
    assert without == {name for name in by_name if name.endswith(endings)}
    assert {by_name[name] for name in by_name.keys() - without} == {0.1}


def test_adamw_is_set_up_as_the_original() -> None:
    (group, _) = optimizer_of(torch.nn.Linear(2, 2), TrainConfig()).param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-5, (0.9, 0.98), 1e-6, 0.1)
    config = TrainConfig(learning_rate=3e-4, weight_decay=0.2, beta1=0.8, beta2=0.9, epsilon=1e-8)
    (group, _) = optimizer_of(torch.nn.Linear(2, 2), config).param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (3e-4, (0.8, 0.9), 1e-8, 0.2)


def test_fine_tuning_warms_up_over_200_steps_and_stays() -> None:
    found = rates(2320)
    assert found[:201] == pytest.approx([1e-5 * step / 200 for step in range(201)])
    assert set(found[200:]) == {1e-5}


def test_pretraining_warms_up_over_2000_steps_and_falls_as_a_cosine_to_nothing() -> None:
    found = rates(12_000, pretrain=True)
    assert found[:2001] == pytest.approx([5e-4 * step / 2000 for step in range(2001)])
    cosine = [5e-4 * (1 + math.cos(math.pi * step / 10_000)) / 2 for step in range(10_000)]
    assert found[2000:] == pytest.approx(cosine)
    assert found[-1] < 1e-10


@pytest.mark.parametrize(("steps", "expected"), [(1, 0), (4, 0), (5, 1), (100, 20), (1000, 200), (10_000, 200)])
def test_shorter_runs_scale_the_warmup_down(steps: int, expected: int) -> None:
    assert TrainConfig().warmup_steps(steps) == expected
    assert max(rates(min(steps, 300))) == 1e-5


def test_warmup_and_schedule_can_be_named() -> None:
    assert TrainConfig(lr_warmup_steps=7).warmup_steps(10) == 7
    assert TrainConfig(lr_warmup_steps=0).warmup_steps(1000) == 0
    assert rates(10, lr_warmup_steps=0, learning_rate=1.0) == [1.0] * 10
    assert rates(10, lr_warmup_steps=0, lr_schedule="cosine")[5] == pytest.approx(0.5e-5)
    assert set(rates(9000, pretrain=True, lr_schedule="constant", lr_warmup_steps=0)) == {5e-4}


def test_the_factor_of_the_cosines_is_at_most_100() -> None:
    for value, expected in ((math.log(100) + 1, 100.0), (math.log(20), 20.0)):
        scale = torch.nn.Parameter(torch.tensor(value))
        clamp_logit_scale(scale)
        assert scale.exp().item() == pytest.approx(expected)
        assert scale.requires_grad


def test_layer_decay_slows_down_what_is_near_the_input(config: TrainConfig, tmp_path: Path) -> None:
    training = Training(config.model_copy(update={"layer_decay": 0.5}), tmp_path)
    named = {parameter: name for name, parameter in training.clip.model.named_parameters()}
    rates = {
        named[parameter]: group["initial_lr"] / config.peak_learning_rate
        for group in training.optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates.keys() == {*named.values()}
    assert rates["logit_scale"] == rates["text_projection.weight"] == rates["vision_model.post_layernorm.bias"] == 1
    assert rates["vision_model.encoder.layers.0.mlp.fc1.weight"] == 0.5
    assert rates["text_model.embeddings.token_embedding.weight"] == rates["vision_model.pre_layrnorm.weight"] == 0.25
    history = training.run(lambda *_: None)
    assert history[1]["train/learning_rate"] == training.schedule.get_last_lr()[0] == config.peak_learning_rate


def test_a_scaled_loss_takes_the_same_steps(config: TrainConfig, tmp_path: Path) -> None:
    """By a power of two, as for fp16, which needs a card: scaling then loses nothing, in micro-batches neither."""
    weights = []
    for scaled in (False, True):
        for size in (None, 3):
            training = Training(config.model_copy(update={"micro_batch_size": size, "epochs": 1}), tmp_path)
            training.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
            training.run(lambda *_: None)
            weights.append(training.clip.model.state_dict())
    for plain, scaled_too in zip(weights[:2], weights[2:], strict=True):
        assert all(torch.equal(tensor, scaled_too[name]) for name, tensor in plain.items())


def test_a_step_that_overflows_is_skipped_and_the_scale_is_resumed(config: TrainConfig, tmp_path: Path) -> None:
    training = Training(config.model_copy(update={"epochs": 1}), tmp_path)
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    kept: list[Path] = []
    training.run(lambda _, checkpoint: kept.append(checkpoint) if checkpoint else None)
    scale = training.scaler.get_scale()
    assert 1 < scale < 2.0**127
    assert all(torch.isfinite(weight).all() for weight in training.clip.model.state_dict().values())
    resumed = Training(config, tmp_path / "resumed")
    resumed.scaler = torch.amp.GradScaler("cpu")
    resumed.resume(kept[-1])
    assert resumed.scaler.get_scale() == scale


def test_fp16_needs_a_card() -> None:
    with pytest.raises(InputError, match="precision fp16 needs a CUDA card"):
        Compute.choose("fp16", torch.device("cpu"))
    assert Compute.choose("fp16", torch.device("cuda")).dtype == torch.float16
