"""The arithmetic of a step against PyTorch's own count of it."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

from simclip.models.clip import TwoTowers
from simclip.models.flops import FlopCounter, peak_flops


@pytest.mark.parametrize("tokens", [5, 16])
def test_flops_are_those_that_pytorch_counts(tokens: int) -> None:
    tower = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 50, "max_position_embeddings": 16, "eos_token_id": 49}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=48, attn_implementation="eager")
    model = CLIPModel(config)
    pixels = torch.rand(6, 3, 32, 32, requires_grad=True)  # or their gradient would be spared
    ids, mask = torch.full((6, tokens), 49), torch.ones(6, tokens, dtype=torch.long)
    with FlopCounterMode(display=False) as counted:
        images, texts, scale = TwoTowers(model)(pixels, ids, mask)
    forward = FlopCounter(model).step(6, tokens) / 3
    assert forward == pytest.approx(counted.get_total_flops(), rel=0.01)
    with FlopCounterMode(display=False) as counted:
        (images.sum() + texts.sum() + scale).backward()
    assert 2 * forward == pytest.approx(counted.get_total_flops(), rel=0.01)


def test_the_cpu_has_no_peak() -> None:
    assert peak_flops(torch.device("cpu")) is None
