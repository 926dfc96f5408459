"""AdamW, the learning-rate schedule, and the clamp of the logit scale."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from simclip.models.depth import depth_below_top

MAX_LOGIT_SCALE = math.log(100)


def make_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    epsilon: float,
    layer_decay: float = 1.0,
) -> torch.optim.AdamW:
    """Make AdamW as OpenCLIP does: weight decay on matrices, none on gains, biases and the logit scale.

    On CUDA it is the fused implementation: a few kernels for all parameters.

    Args:
        model: The model; weights that are not trained are left out.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of matrices.
        betas: Adam's decay rates.
        epsilon: Adam's epsilon.
        layer_decay: Factor of the learning rate for each step towards the input of a tower (see `depth_below_top`);
            the first group of weights has the peak itself.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    depths = depth_below_top(model) if layer_decay != 1 else dict.fromkeys(parameters, 0)
    groups = [
        {
            "params": [p for p in parameters if depths[p] == depth and (p.ndim >= 2) == is_matrix],
            "weight_decay": weight_decay if is_matrix else 0.0,
            "lr": learning_rate * layer_decay**depth,
        }
        for depth in sorted({0, *(depths[p] for p in parameters)})
        for is_matrix in (True, False)
    ]
    fused = all(parameter.is_cuda for parameter in parameters)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, name: Literal["constant", "cosine"], warmup_steps: int, steps: int
) -> LambdaLR:
    """Make a linear warm-up, followed by a constant learning rate or a cosine decay to 0.

    Args:
        optimizer: Its learning rates are the peak.
        name: What follows the warm-up.
        warmup_steps: Length of the warm-up.
        steps: Length of the run.
    """
    schedule = {"constant": "constant_with_warmup", "cosine": "cosine"}[name]
    return get_scheduler(schedule, optimizer, num_warmup_steps=warmup_steps, num_training_steps=steps)


@torch.no_grad()
def clamp_logit_scale(logit_scale: torch.Tensor) -> None:
    """Limit the factor of the cosines to 100, in place."""
    logit_scale.clamp_(max=MAX_LOGIT_SCALE)
