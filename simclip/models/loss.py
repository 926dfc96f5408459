"""The symmetric contrastive loss of CLIP."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from simclip.models.hard_negatives import weigh_negatives


def clip_loss(
    images: torch.Tensor, texts: torch.Tensor, logit_scale: torch.Tensor | float, hardness: float = 0.0
) -> torch.Tensor:
    """Symmetric InfoNCE: every image picks its text among all texts, and vice versa (Radford et al. 2021).

    Args:
        images: float [n, d], L2-normalised; row i belongs to row i of the texts.
        texts: float [n, d], L2-normalised.
        logit_scale: Factor of the cosines, at most 100.
        hardness: See `weigh_negatives`.

    Returns:
        Scalar, the mean of both directions, in fp32.
    """
    logits = logit_scale * images.float() @ texts.float().T
    labels = torch.arange(len(logits), device=logits.device)
    return (_picked(logits, labels, hardness) + _picked(logits.T, labels, hardness)) / 2


def clip_loss_of_rows(
    images: torch.Tensor,
    texts: torch.Tensor,
    all_images: torch.Tensor,
    all_texts: torch.Tensor,
    first: int,
    logit_scale: torch.Tensor | float,
    hardness: float = 0.0,
) -> torch.Tensor:
    """A worker's part of `clip_loss`: its own rows against all columns; the mean over the workers is the whole loss.

    Args:
        images: float [n, d], this worker's, L2-normalised.
        texts: float [n, d], this worker's, L2-normalised.
        all_images: float [N, d], those of all workers.
        all_texts: float [N, d], those of all workers.
        first: Number of this worker's first row among all.
        logit_scale: Factor of the cosines, at most 100.
        hardness: See `weigh_negatives`.

    Returns:
        Scalar, the mean of both directions, in fp32.
    """
    labels = torch.arange(first, first + len(images), device=images.device)
    to_text = _picked(logit_scale * images.float() @ all_texts.float().T, labels, hardness)
    to_image = _picked(logit_scale * texts.float() @ all_images.float().T, labels, hardness)
    return (to_text + to_image) / 2


def _picked(logits: torch.Tensor, labels: torch.Tensor, hardness: float) -> torch.Tensor:
    """The cross-entropy of picking each row's label."""
    return F.cross_entropy(weigh_negatives(logits, labels, hardness) if hardness else logits, labels)
