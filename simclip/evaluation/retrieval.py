"""Retrieval: recall at k in both directions, and the contrastive loss, over all captions of every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from simclip.evaluation.metrics import KS
from simclip.evaluation.ranks import places, share_within


def recall_metrics(
    images: Tensor, captions: Tensor, image_of_caption: Tensor, ks: Sequence[int] = KS
) -> dict[str, float]:
    """Recall at k from text to image and from image to text, by clip_benchmark's conventions.

    Text to image is the share of captions whose image is among the k best; image to text is the share of images that
    have any own caption among the k best. Among k candidates or fewer nothing can be missed: the recall is 1.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        captions: float32 [m, d], L2-normalised.
        image_of_caption: int64 [m], the row of each caption's image, in any order; every image has a caption.
        ks: Any positive numbers.

    Returns:
        `t2i_r{k}` and `i2t_r{k}` for every k, and `mean_r1`, the mean of both recalls at 1; all in [0, 1].
    """
    rows = torch.arange(len(images), device=images.device)
    image_place = places(captions, images, lambda block: image_of_caption[block, None] == rows)
    caption_place = places(images, captions, lambda block: block[:, None] == image_of_caption)
    text_to_image = {f"t2i_r{k}": share_within(image_place, k, len(images)) for k in ks}
    image_to_text = {f"i2t_r{k}": share_within(caption_place, k, len(captions)) for k in ks}
    both = share_within(image_place, 1, len(images)), share_within(caption_place, 1, len(captions))
    return {**text_to_image, **image_to_text, "mean_r1": sum(both) / 2}


def contrastive_loss_metric(
    images: Tensor, captions: Tensor, image_of_caption: Tensor, logit_scale: float, batch_size: int
) -> float:
    """Symmetric InfoNCE over batches of image-caption pairs, every caption once, as a mean over the pairs.

    No image stands twice in a batch, so no right answer counts as wrong: one pass takes the first caption of every
    image, the next the second caption of those that have one, and so on. The pairs of a pass are cut evenly, so that
    no small rest makes an easy batch.

    Args:
        images: float32 [n, d], L2-normalised.
        captions: float32 [m, d], L2-normalised.
        image_of_caption: int64 [m], the row of each caption's image.
        logit_scale: What cosines are multiplied by: the exponential of CLIP's parameter, at most 100.
        batch_size: Pairs in a batch, at most.
    """
    total = 0.0
    for pairs in _pair_batches(image_of_caption, batch_size):
        logits = logit_scale * images[image_of_caption[pairs]] @ captions[pairs].T
        right = torch.arange(len(pairs), device=logits.device)
        loss = (cross_entropy(logits, right) + cross_entropy(logits.T, right)) / 2
        total += loss.item() * len(pairs)
    return total / len(captions)


def _pair_batches(image_of_caption: Tensor, batch_size: int) -> Iterator[Tensor]:
    by_image = image_of_caption.argsort(stable=True)
    counts = image_of_caption.bincount()
    starts = counts.cumsum(0) - counts
    slot = torch.arange(len(by_image), device=by_image.device) - starts[image_of_caption[by_image]]
    for number in range(int(counts.max())):
        pairs = by_image[slot == number]
        yield from pairs.tensor_split(-(-len(pairs) // batch_size))
