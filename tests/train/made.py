"""Optimizers and schedules as a training run makes them."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from simclip.train.config import TrainConfig
from simclip.train.optimizer import make_optimizer, make_schedule


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    return make_optimizer(
        model,
        learning_rate=config.peak_learning_rate,
        weight_decay=config.weight_decay,
        betas=(config.beta1, config.beta2),
        epsilon=config.epsilon,
    )


def schedule_of(optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int) -> LambdaLR:
    return make_schedule(optimizer, config.schedule_name, config.warmup_steps(steps), steps)
