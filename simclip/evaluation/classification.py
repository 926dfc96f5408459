"""Zero-shot classification: images against the embeddings of their classes' names in prompts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from simclip.evaluation.ranks import places, share_within


def class_embeddings(template_embeddings: Tensor) -> Tensor:
    """One embedding per class: the normalised mean of its normalised prompts, as open_clip's classifier.

    Args:
        template_embeddings: float32 [c, t, d], each of t prompts for each of c classes.

    Returns:
        float32 [c, d], L2-normalised.
    """
    return normalize(normalize(template_embeddings, dim=-1).mean(1), dim=-1)


def zero_shot_metrics(images: Tensor, labels: Tensor, class_embeddings: Tensor) -> dict[str, float]:
    """Share of images whose class is the best one, or among the best five; of equal scores the lower class is first.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        labels: int64 [n], each image's class, from 0 to c - 1.
        class_embeddings: float32 [c, d], L2-normalised.

    Returns:
        `top1` and `top5`, in [0, 1]; `top5` is 1 where there are at most five classes.
    """
    classes = torch.arange(len(class_embeddings), device=labels.device)
    place = places(images, class_embeddings, lambda block: labels[block, None] == classes)
    return {f"top{k}": share_within(place, k, len(class_embeddings)) for k in (1, 5)}
