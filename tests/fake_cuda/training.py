"""A real `Training` on the card, without data: only its model's weights, device and batch are pretended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig

from simclip.data.training_set import Batch
from simclip.models.clip import Clip
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.loop import Training

CARD = torch.device("cuda:0")


def on_card(module: nn.Module) -> None:
    """Replace weights and buffers by fake ones on the card."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                fake = torch.empty(weight.shape, dtype=weight.dtype, device=CARD)
                part._parameters[name] = nn.Parameter(fake, requires_grad=weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=CARD)


def training_on_card(architecture: PreTrainedConfig, workers: Workers | None = None, **fields: Any) -> Training:
    """Make a run of a model; fields are those of its configuration."""
    training = Training.__new__(Training)
    training.config = TrainConfig(train_tsv="train.tsv", train_image_dir="images", precision="bf16", **fields)
    training.workers = workers or Workers()
    training.compute = Compute.choose(training.config.precision, CARD)
    with torch.device("meta"):
        model: Any = AutoModel.from_config(architecture, dtype=torch.float32)
    on_card(model)
    model.train()
    processor = SimpleNamespace(image_mean=(0.5, 0.5, 0.5), image_std=(0.3, 0.3, 0.3))
    training.clip = Clip(model, None, processor)  # type: ignore[arg-type]
    training.prepare(steps=100)
    return training


def batch_on_host(pairs: int, tokens: int, side: int) -> Batch:
    """A batch as the loader makes it."""
    pixels = torch.empty(pairs, side, side, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    ids, mask = (torch.empty(pairs, tokens, dtype=torch.int64) for _ in range(2))
    return Batch(pixels, torch.empty(pairs, 4), ids, mask)
