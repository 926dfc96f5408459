"""Gradients of the contrastive loss over a global batch: at once, or in micro-batches with two passes.

The loss couples all pairs of a batch, so a sum over parts would be another loss. But it depends on the towers only
through the embeddings: a first pass without gradients computes these and the gradient of the loss with respect to each,
and a second pass propagates it into the towers, part by part (Gao et al. 2021, "Scaling deep contrastive learning batch
size under memory limited setup"). The result is the gradient of the whole batch, in the memory of a part. Dropout draws
the same masks in both passes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel

from simclip.models.loss import Loss
from simclip.runtime.workers import Workers

#: Embeds a slice of this worker's rows: images and texts, [n, d] each, and the logit parameters of the loss.
Embed = Callable[[slice], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
#: Leaves the loss as it is.
PLAIN = GradScaler("cpu", enabled=False)


def backward_whole(embed: Embed, rows: int, workers: Workers, loss: Loss, scaler: GradScaler = PLAIN) -> torch.Tensor:
    """Backpropagate the loss of the whole batch; returns the loss, on its device."""
    value = _value(loss, workers, *embed(slice(0, rows)))
    scaler.scale(value).backward()
    return workers.mean(value)


def backward_in_parts(
    embed: Embed, rows: int, workers: Workers, loss: Loss, size: int, towers: Any, scaler: GradScaler = PLAIN
) -> torch.Tensor:
    """Backpropagate the same loss with `size` rows in memory at a time; equal up to the order of sums.

    Args:
        embed: Runs the towers on a slice of this worker's rows.
        rows: Number of rows of this worker.
        workers: All workers of the run.
        loss: The loss.
        size: Number of rows in a micro-batch.
        towers: The module that `embed` runs; gradients are synchronised once, with the last part.
        scaler: Scales the loss, so that small gradients are not lost in fp16.
    """
    parts = [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
    embedded, draws = [], []
    with torch.no_grad():
        for part in parts:
            draws.append(_random_states())
            embedded.append(embed(part))
    images, texts = (torch.cat([each[i] for each in embedded]).requires_grad_() for i in range(2))
    logits = embedded[0][2].clone().requires_grad_()
    value = _value(loss, workers, images, texts, logits)
    scaler.scale(value).backward()
    assert images.grad is not None and texts.grad is not None and logits.grad is not None
    for part, states in zip(parts, draws, strict=True):
        _restore(states)
        alone = isinstance(towers, DistributedDataParallel) and part is not parts[-1]
        with towers.no_sync() if alone else nullcontext():
            part_images, part_texts, part_logits = embed(part)
            surrogate = (part_images * images.grad[part]).sum() + (part_texts * texts.grad[part]).sum()
            (surrogate + (part_logits * logits.grad).sum() / len(parts)).backward()
    return workers.mean(value)


def _value(
    loss: Loss, workers: Workers, images: torch.Tensor, texts: torch.Tensor, logits: torch.Tensor
) -> torch.Tensor:
    """The loss of this worker's rows against all columns, whose mean over the workers is the loss of the batch.

    The sum of its gradients over the workers flows back through `gather`, and DDP averages the parameters' gradients.
    """
    if workers.size == 1:
        return loss.whole(images, texts, logits)
    return loss.of_rows(images, texts, workers.gather, workers.rank * len(images), logits)


def _random_states() -> list[torch.Tensor]:
    """States of the generators that dropout draws from: the CPU's, and the card's if there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def _restore(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
