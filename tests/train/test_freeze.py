"""A frozen tower: the same bits after training, no gradients, no state of the optimizer, no dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.conftest import draw_pair
from tests.models.families import write_family

TOWERS = {"image": ("vision_model.", "visual_projection."), "text": ("text_model.", "text_projection.")}


@pytest.fixture(scope="module")
def with_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose text tower has dropout."""
    folder = tmp_path_factory.mktemp("family")
    write_family("chinese_clip", folder, [caption for number in range(64) for caption in draw_pair(number)[1]])
    return folder


def state(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.clip.model.state_dict().items()}


@pytest.mark.parametrize("frozen", TOWERS)
@pytest.mark.parametrize("fields", [{}, {"micro_batch_size": 3}])
def test_a_frozen_tower_keeps_its_bits(
    frozen: str, fields: dict[str, Any], config: TrainConfig, tmp_path: Path
) -> None:
    training = Training(config.model_copy(update={"freeze": frozen, **fields}), tmp_path)
    before = state(training)
    history = training.run(lambda *_: None)
    after = state(training)
    assert history[-1]["train/loss"] < history[1]["train/loss"]
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith(TOWERS[frozen])}
    named = dict(training.clip.model.named_parameters())
    assert {name for name, parameter in named.items() if parameter.grad is None} == kept
    stepped = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    assert stepped == {id(parameter) for name, parameter in named.items() if name not in kept}
    assert "logit_scale" not in kept


@pytest.mark.parametrize(("frozen", "drops"), [("none", True), ("image", True), ("text", False)])
def test_a_frozen_tower_has_no_dropout(
    frozen: str, drops: bool, with_dropout: Path, config: TrainConfig, tmp_path: Path
) -> None:
    """Even after an evaluation, which puts the model back into the mode that it found."""
    given = {"model": str(with_dropout), "freeze": frozen, "epochs": 2}
    training = Training(config.model_copy(update=given), tmp_path)
    seen: list[tuple[bool, set[bool]]] = []  # in a step or not, and the modes of the text tower
    training.clip.model.text_model.register_forward_pre_hook(
        lambda module, _: seen.append((torch.is_grad_enabled(), {each.training for each in module.modules()}))
    )
    training.run(lambda *_: None)
    assert [modes for in_step, modes in seen if not in_step] == [{False}] * sum(not in_step for in_step, _ in seen)
    assert [modes for in_step, modes in seen if in_step] == [{drops}] * 2 * training.iterations


@pytest.mark.parametrize("frozen", TOWERS)
def test_resuming_equals_training_straight_through(
    frozen: str, with_dropout: Path, config: TrainConfig, tmp_path: Path
) -> None:
    fields = {"model": str(with_dropout), "freeze": frozen, "lr_warmup_steps": 2}  # not a share of the run's length
    given = config.model_copy(update=fields)
    straight = Training(given, tmp_path / "straight")
    straight.run(lambda *_: None)
    Training(given.model_copy(update={"epochs": 2}), tmp_path / "kept").run(lambda *_: None)
    resumed = Training(given, tmp_path / "resumed")
    resumed.resume(tmp_path / "kept" / "epoch-0002")
    resumed.run(lambda *_: None)
    expected = state(straight)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state(resumed).items())


def test_similarities_of_a_frozen_image_tower_are_made_once(config: TrainConfig, tmp_path: Path) -> None:
    """And lead to the same plans as those that are made again each epoch."""
    given = config.model_copy(update={"freeze": "image", "similarity": "image"})
    once = Training(given, tmp_path)
    assert once.planner.offline is not None
    again = Training(given.model_copy(update={"freeze": "none"}), tmp_path)
    assert again.planner.offline is None
    for epoch in (0, 1):
        assert np.array_equal(list(once.planner.plan(epoch)), list(again.planner.plan(epoch)))
    assert Training(given.model_copy(update={"similarity": "text"}), tmp_path).planner.offline is None


def test_a_frozen_tower_of_random_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match="freeze image with pretrain: the tower would keep random weights"):
        TrainConfig(freeze="image", pretrain=True)
    with pytest.raises(ValidationError, match="'none', 'image' or 'text'"):
        TrainConfig(freeze="both")  # type: ignore[arg-type]
