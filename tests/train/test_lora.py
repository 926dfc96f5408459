"""LoRA: what is trained, saved and resumed; with micro-batches, frozen towers and checkpointed activations."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, CLIPModel

from simclip.errors import InputError
from simclip.models.clip import TwoTowers, check_lora_targets
from simclip.models.families import FAMILIES
from simclip.models.lora import merged_weights
from simclip.models.quick_gelu import fuse_quick_gelu
from simclip.train.config import TrainConfig
from simclip.train.history import Row
from simclip.train.load import load_data, load_model
from simclip.train.loop import Training
from tests.conftest import draw_pair
from tests.models.families import write_family
from tests.train.histories import without_clocks


@pytest.fixture
def lora(config: TrainConfig) -> TrainConfig:
    return TrainConfig(**{**config.model_dump(), "lora_rank": 2, "learning_rate": 1e-2, "epochs": 2})


def gradients(config: TrainConfig, folder: Path) -> dict[str, torch.Tensor]:
    """After two steps: in the first, the gradients of one of the two matrices are zero."""
    training = Training(config, folder)
    plan = np.stack(list(training.planner.plan(0)))[:2]
    for batch in training.data.batches(plan, training.share, config.seed, 0):
        training.step(batch)
    return {name: weight.grad for name, weight in training.clip.model.named_parameters() if weight.grad is not None}


def test_only_adapters_and_the_scale_are_trained(lora: TrainConfig, tmp_path: Path) -> None:
    training = Training(lora, tmp_path)
    model = training.clip.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training.run(lambda *_: None)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    adapters = {name for name in before if ".lora_" in name}
    assert changed == {*adapters, "logit_scale"}
    adapted = {name.partition(".lora_")[0].rpartition(".")[2] for name in adapters}
    assert adapted == {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}
    assert {name.partition(".")[0] for name in adapters} == {"vision_model", "text_model"}


def test_at_first_it_is_the_base_model(config: TrainConfig, lora: TrainConfig, tmp_path: Path) -> None:
    """Its embeddings, its key in the cache, and its scores, to the bit."""
    plain, adapted = load_model(config), load_model(lora)
    assert plain.identity() == adapted.identity()
    weights = plain.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in merged_weights(adapted.model).items())
    first = [Training(each, tmp_path).run(lambda *_: None)[0] for each in (config, lora)]
    assert without_clocks(first[:1]) == without_clocks(first[1:])


def test_a_checkpoint_holds_adapters_and_resumes_to_the_bit(lora: TrainConfig, tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    def keep_first(history: list[Row], checkpoint: Path | None) -> None:
        if checkpoint and len(history) == 2:
            shutil.copytree(checkpoint, kept)

    straight = Training(lora, tmp_path / "straight")
    history = straight.run(keep_first)
    names = {*load_file(kept / "last" / "adapters.safetensors")}
    assert [each.name for each in (kept / "last").iterdir()] == ["adapters.safetensors"]
    assert names == {name for name, weight in straight.clip.model.named_parameters() if weight.requires_grad}
    resumed = Training(lora, tmp_path / "resumed")
    resumed.resume(kept)
    assert without_clocks(resumed.run(lambda *_: None)) == without_clocks(history)
    found = resumed.clip.model.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in straight.clip.model.state_dict().items())


def test_saved_models_are_merged_ordinary_folders(lora: TrainConfig, tmp_path: Path) -> None:
    training = Training(lora.model_copy(update={"epochs": 1}), tmp_path)
    training.run(lambda *_: None)
    again = CLIPModel.from_pretrained(tmp_path / "epoch-0001" / "best")
    base = CLIPModel.from_pretrained(lora.model)
    assert again.state_dict().keys() == base.state_dict().keys()
    data = load_data(lora, training.clip)
    pixels = torch.stack([data.whole[row] for row in range(6)]).float() / 255
    ids, mask = data.tokens.batch(np.arange(6))
    training.clip.model.eval()
    with torch.no_grad():
        found, expected, start = (TwoTowers(model)(pixels, ids, mask) for model in (again, training.clip.model, base))
    for ours, reference, before in zip(found, expected, start, strict=True):
        torch.testing.assert_close(ours, reference, rtol=0, atol=1e-5)
        assert not torch.allclose(ours, before, atol=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"micro_batch_size": 3},
        {"gradient_checkpointing": True},
        {"compile": True},
        {"compile": True, "micro_batch_size": 3, "gradient_checkpointing": True},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_gradients_are_the_same(
    lora: TrainConfig, tmp_path: Path, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # graphs, without a C++ compiler
    torch._dynamo.reset()
    whole, found = gradients(lora, tmp_path), gradients(lora.model_copy(update=fields), tmp_path)
    assert found.keys() == whole.keys() and any(".lora_B" in name for name in whole)
    largest = max(gradient.abs().max().item() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-4 * largest)


def test_a_frozen_tower_has_no_adapters(lora: TrainConfig, tmp_path: Path) -> None:
    found = gradients(lora.model_copy(update={"freeze": "image"}), tmp_path)
    assert {name.partition(".")[0] for name in found} == {"text_model", "logit_scale"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_layers_for_them(family: str, lora: TrainConfig, tmp_path: Path) -> None:
    write_family(family, tmp_path / "model", [caption for number in range(64) for caption in draw_pair(number)[1]])
    run = lora.model_copy(update={"model": str(tmp_path / "model"), "epochs": 1})
    training = Training(run, tmp_path / "run")
    assert len(training.run(lambda *_: None)) == 2
    saved = AutoModel.from_pretrained(tmp_path / "run" / "epoch-0001" / "best").state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in merged_weights(training.clip.model).items())


def test_targets(lora: TrainConfig, config: TrainConfig) -> None:
    chosen = load_model(lora.model_copy(update={"lora_targets": ["q_proj", "visual_projection"], "lora_alpha": 8}))
    adapted = {name.rpartition(".")[2]: each for name, each in chosen.model.named_modules() if hasattr(each, "lora_A")}
    assert adapted.keys() == {"q_proj", "visual_projection"}
    assert adapted["q_proj"].scaling["default"] == 4
    with pytest.raises(InputError, match=r"lora_targets query: no linear layer .*: give some of fc1, .*v_proj"):
        load_model(lora.model_copy(update={"lora_targets": ["query"]}))
    check_lora_targets(lora.model, ["q_proj", "visual_projection"], "text")
    with pytest.raises(InputError, match=r"lora_targets visual_projection: no linear layer of a trained .* v_proj"):
        check_lora_targets(lora.model, ["q_proj", "visual_projection"], "image")
    with pytest.raises(ValueError, match="lora_rank 2 with pretrain"):
        TrainConfig(**{**config.model_dump(), "lora_rank": 2, "pretrain": True})
    assert TrainConfig(**{**config.model_dump(), "lora_rank": 2, "learning_rate": None}).peak_learning_rate == 1e-4


def test_the_fused_mlp_leaves_layers_with_adapters_alone(lora: TrainConfig, tmp_path: Path) -> None:
    clip = load_model(lora.model_copy(update={"lora_targets": ["fc1"]}))
    with torch.no_grad():
        for name, weight in clip.model.named_parameters():
            if ".lora_B" in name:
                weight.fill_(0.1)
    pixels = torch.rand(2, 3, 32, 32)
    before = clip.model.get_image_features(pixels).pooler_output
    fuse_quick_gelu(clip.model)
    assert torch.equal(clip.model.get_image_features(pixels).pooler_output, before)
