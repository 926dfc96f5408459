"""The symmetric contrastive loss of CLIP."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def clip_loss(images: torch.Tensor, texts: torch.Tensor, logit_scale: torch.Tensor | float) -> torch.Tensor:
    """Symmetric InfoNCE: every image picks its text among all texts, and vice versa (Radford et al. 2021).

    Args:
        images: float [n, d], L2-normalised; row i belongs to row i of the texts.
        texts: float [n, d], L2-normalised.
        logit_scale: Factor of the cosines, at most 100.

    Returns:
        Scalar, the mean of both directions, in fp32.
    """
    logits = logit_scale * images.float() @ texts.float().T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
