"""Hard negatives in the loss: a negative weighs the more, the more similar it is."""

from __future__ import annotations

import math

import torch


def weigh_negatives(logits: torch.Tensor, own: torch.Tensor, hardness: float) -> torch.Tensor:
    """Add the logarithm of its weight to the logit of each negative, so that its exponential is weighted.

    The weights are proportional to exp(hardness * logit) and their mean over a row's negatives is 1, as in HN-NCE
    (Radenovic et al. 2023, "Filtering, Distillation, and Hard Negatives", DiHT, with alpha = 1) after Robinson et al.
    2021. No gradient flows through them.

    Args:
        logits: float32 [n, N].
        own: int64 [n], the column of each row that is its positive, whose logit stays as it is.
        hardness: a, at least 0; 0 weighs all negatives alike.

    Returns:
        float32 [n, N].
    """
    own = own[:, None]
    heights = (hardness * logits.detach()).scatter(1, own, -math.inf)
    weights = heights - heights.logsumexp(dim=1, keepdim=True) + math.log(max(1, logits.shape[1] - 1))
    return logits + weights.scatter(1, own, 0.0)
