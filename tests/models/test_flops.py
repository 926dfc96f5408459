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
    assert peak_flops(torch.device("cpu"), torch.bfloat16) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A10", 125e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A40", 150e12),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", None),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("Tesla T4", None),
    ],
)
def test_the_peak_is_that_of_the_card_itself(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda"), torch.bfloat16) == peak
    assert peak_flops(torch.device("cuda"), torch.float32) is None
