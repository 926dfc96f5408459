"""AdamW, the learning rate over the steps, and the clamp of the logit scale."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from simclip.config.training import TrainConfig

MAX_LOGIT_SCALE = math.log(100)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW as OpenCLIP sets it up: weight decay on matrices, none on gains, biases and the logit scale.

    On CUDA it is the fused one: a few kernels for all parameters.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    rate = config.learning_rate or (5e-4 if config.pretrain else 1e-5)
    fused = all(parameter.is_cuda for parameter in parameters)
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=config.epsilon, fused=fused)


def make_schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int) -> LambdaLR:
    """Linear warm-up, then constant (fine-tuning) or a cosine to 0 (`pretrain`).

    Args:
        optimizer: Its learning rates are the peak.
        config: Names the schedule and the warm-up.
        steps: Length of the run.
    """
    name = config.lr_schedule or ("cosine" if config.pretrain else "constant")
    schedule = {"constant": "constant_with_warmup", "cosine": "cosine"}[name]
    return get_scheduler(schedule, optimizer, num_warmup_steps=warmup_steps(config, steps), num_training_steps=steps)


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Steps of the learning rate's warm-up: 200, or 2000 with `pretrain`, and never more than a fifth of the run."""
    if config.lr_warmup_steps is not None:
        return config.lr_warmup_steps
    return min(2000 if config.pretrain else 200, steps // 5)


@torch.no_grad()
def clamp_logit_scale(logit_scale: torch.Tensor) -> None:
    """Keep the factor of the cosines at 100 or below, in place."""
    logit_scale.clamp_(max=MAX_LOGIT_SCALE)
