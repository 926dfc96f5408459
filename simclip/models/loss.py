"""The losses that a model can learn by: the symmetric contrastive loss of CLIP, and the sigmoid loss of SigLIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from simclip.models.hard_negatives import weigh_negatives

#: Number of columns of the sigmoid loss that are in memory at a time.
COLUMNS = 1024


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


def sigmoid_loss_of_rows(
    images: torch.Tensor, all_texts: torch.Tensor, first: int, logit_parameters: torch.Tensor
) -> torch.Tensor:
    """A worker's part of the pairwise sigmoid loss (Zhai et al. 2023): its own images against all texts.

    Each image-text pair is a yes-no question of its own, answered by the sigmoid of scale * cosine + bias. The loss is
    the sum over all pairs of a batch, per image; its mean over the workers is the loss of the whole batch. The logits
    are computed for some columns at a time, and once more in the backward pass, so that no [n, N] is in memory.

    Args:
        images: float [n, d], this worker's, L2-normalised.
        all_texts: float [N, d], those of all workers, L2-normalised.
        first: Number of this worker's first row among all.
        logit_parameters: float [2], the factor of the cosines and the bias.

    Returns:
        Scalar, in fp32.
    """
    images, all_texts = images.float(), all_texts.float()
    parts = [
        checkpoint(
            _summed_over_columns, images, all_texts[begin : begin + COLUMNS], begin - first, logit_parameters,
            use_reentrant=False, preserve_rng_state=False,
        )
        for begin in range(0, len(all_texts), COLUMNS)
    ]  # fmt: skip
    return torch.stack(parts).sum() / len(images)


def _summed_over_columns(
    images: torch.Tensor, texts: torch.Tensor, shift: int, logit_parameters: torch.Tensor
) -> torch.Tensor:
    """The loss of all pairs of images [n, d] and texts [c, d], where text j belongs to image j + shift."""
    scale, bias = logit_parameters
    logits = scale * images @ texts.T + bias
    rows = torch.arange(len(images), device=images.device)[:, None]
    belongs = rows == torch.arange(len(texts), device=images.device) + shift
    return -F.logsigmoid(torch.where(belongs, logits, -logits)).sum()


#: Concatenates the rows of all workers.
Gather = Callable[[torch.Tensor], torch.Tensor]


def _infonce(
    images: torch.Tensor, texts: torch.Tensor, logit_parameters: torch.Tensor, hardness: float = 0.0
) -> torch.Tensor:
    return clip_loss(images, texts, _factor(logit_parameters), hardness)


def _infonce_of_rows(
    images: torch.Tensor,
    texts: torch.Tensor,
    gather: Gather,
    first: int,
    logit_parameters: torch.Tensor,
    hardness: float = 0.0,
) -> torch.Tensor:
    return clip_loss_of_rows(images, texts, gather(images), gather(texts), first, _factor(logit_parameters), hardness)


def _factor(logit_parameters: torch.Tensor) -> torch.Tensor:
    """The factor of the cosines; a bias is the same in all logits, so that InfoNCE does not depend on it."""
    return logit_parameters if logit_parameters.ndim == 0 else logit_parameters[0]


def _sigmoid(images: torch.Tensor, texts: torch.Tensor, logit_parameters: torch.Tensor) -> torch.Tensor:
    return sigmoid_loss_of_rows(images, texts, 0, logit_parameters)


def _sigmoid_of_rows(
    images: torch.Tensor, texts: torch.Tensor, gather: Gather, first: int, logit_parameters: torch.Tensor
) -> torch.Tensor:
    return sigmoid_loss_of_rows(images, gather(texts), first, logit_parameters)


@dataclass(frozen=True)
class Loss:
    """A loss of a batch, and a worker's part of it.

    Attributes:
        whole: From images and texts [n, d] and the logit parameters (see `Family.logit_parameters`) to the loss.
        of_rows: From this worker's images and texts, `Gather`, the number of its first row and the logit parameters to
            a loss whose mean over the workers is the loss of the whole batch.
        clamped: Whether the factor of the cosines is at most 100. SigLIP's are larger.
    """

    whole: Callable[..., torch.Tensor]
    of_rows: Callable[..., torch.Tensor]
    clamped: bool

    def with_hardness(self, hardness: float) -> Loss:
        """The loss with weighed negatives (see `weigh_negatives`), which only InfoNCE has."""
        if not hardness:
            return self
        whole, of_rows = (partial(each, hardness=hardness) for each in (self.whole, self.of_rows))
        return replace(self, whole=whole, of_rows=of_rows)


#: The losses by their names in study files.
LOSSES = {
    "infonce": Loss(_infonce, _infonce_of_rows, clamped=True),
    "sigmoid": Loss(_sigmoid, _sigmoid_of_rows, clamped=False),
}
