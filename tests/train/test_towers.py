"""The towers as a card runs them, in numbers: on the CPU, without a card."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.overrides import TorchFunctionMode
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.modeling_clip import CLIPMLP

from simclip.models.clip import TwoTowers, load_clip
from simclip.models.in_bfloat16 import InBfloat16
from simclip.models.quick_gelu import QuickGeluMlp, fuse_quick_gelu
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.towers import make_towers

STEPS = 50


def test_the_fused_mlp_has_the_same_values_and_gradients() -> None:
    torch.manual_seed(0)
    config = CLIPConfig(text_config={"hidden_size": 16, "intermediate_size": 40}).text_config
    plain = CLIPMLP(config).double()
    fused = QuickGeluMlp(plain.fc1, plain.fc2)
    assert plain.state_dict().keys() == fused.state_dict().keys()
    states = torch.randn(3, 5, 16, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(3, 5, 16, dtype=torch.float64)
    results = []
    for mlp in (plain, fused):
        values = mlp(states)
        results.append([values, *torch.autograd.grad((values * wanted).sum(), [states, *plain.parameters()])])
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_a_fused_model_is_saved_as_before(tiny_model: Path) -> None:
    model = load_clip(str(tiny_model)).model
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    fuse_quick_gelu(model)
    assert sum(isinstance(part, QuickGeluMlp) for part in model.modules()) == 2
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_weights_and_gradients_stay_fp32(tiny_model: Path) -> None:
    model: CLIPModel = load_clip(str(tiny_model)).model
    seen: set[torch.dtype] = set()

    class Norms(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if function is torch.nn.functional.layer_norm:
                seen.add(args[0].dtype)
            return function(*args, **(kwargs or {}))

    ids = torch.ones(2, 5, dtype=torch.long)
    with Norms():
        images, texts, scale = InBfloat16(TwoTowers(model))(torch.randn(2, 3, 32, 32), ids, ids)
    (images.sum() + texts.sum() + scale).backward()
    assert seen == {torch.bfloat16}
    assert {images.dtype, texts.dtype, scale.dtype} == {torch.float32}
    assert all(weight.grad is not None and weight.grad.dtype == torch.float32 for weight in model.parameters())


def test_a_frozen_tower_gets_no_gradient(tiny_model: Path) -> None:
    model: CLIPModel = load_clip(str(tiny_model), frozen="image").model
    ids = torch.ones(2, 5, dtype=torch.long)
    images, texts, _ = InBfloat16(TwoTowers(model))(torch.randn(2, 3, 32, 32), ids, ids)
    (images * texts).sum().backward()
    assert all(weight.grad is None for weight in model.vision_model.parameters())
    assert all(weight.grad is not None for weight in model.text_model.parameters())


@pytest.mark.parametrize("device", ["as on a CPU", pytest.param("as on a card", marks=pytest.mark.slow)])
def test_compiled_towers_are_not_compiled_again_for_each_length(
    tiny_model: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the first length, and once for all others; in one graph."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    torch._dynamo.reset()
    model: CLIPModel = load_clip(str(tiny_model)).model
    cpu = Compute(torch.device("cpu"), torch.float32)
    towers = make_towers(model, cpu, Workers(), compiled=device == "as on a CPU")
    if device == "as on a card":
        fuse_quick_gelu(model)
        towers = torch.compile(InBfloat16(towers))
    counts = []
    for length in (8, 16, 11):
        ids = torch.ones(4, length, dtype=torch.long)
        images, texts, _ = towers(torch.randn(4, 3, 32, 32), ids, ids)
        (images * texts).sum().backward()
        counts.append(counter.frame_count)
    assert counts == [1, 2, 2]


def losses(config: TrainConfig, folder: Path, precision: str) -> list[float]:
    autocast = {"precision": "bf16" if precision == "autocast" else "fp32"}
    training = Training(config.model_copy(update=autocast), folder)
    if precision == "as on a card":
        fuse_quick_gelu(training.clip.model)
        training.parallel = InBfloat16(TwoTowers(training.clip.model))
    batches = training.data.batches(training.planner.plan(0), training.share, config.seed, 0)
    return [training.step(batch).item() for batch in batches]


@pytest.mark.parametrize("size", [None, 3])
def test_fifty_steps_beside_fp32(config: TrainConfig, tmp_path: Path, size: int | None) -> None:
    """Losses from 2.1 to 1.4 stay within 0.1 of those of fp32, and within 0.015 on average."""
    config = config.model_copy(update={"iterations_per_epoch": STEPS, "micro_batch_size": size, "epochs": 1})
    exact, rounded = (losses(config, tmp_path / name, name) for name in ("fp32", "as on a card"))
    gaps = [abs(first - second) for first, second in zip(exact, rounded, strict=True)]
    assert len(gaps) == STEPS
    assert max(gaps) < 0.1
    assert sum(gaps) / STEPS < 0.015
