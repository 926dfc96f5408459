"""Gradients of the contrastive loss over a global batch: at once, or micro-batch by micro-batch in two passes.

The loss couples all pairs of a batch, so that a sum over parts is another loss. But it depends on the towers through
the embeddings alone: one pass without gradients finds these and the loss's gradient for each, a second one carries it
on into the towers part by part (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited
setup"). The result is the whole batch's, in the memory of a part. Dropout draws the same in both passes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from simclip.runtime.workers import Workers
from simclip.train.loss import clip_loss

#: From a slice of this worker's rows to the embeddings of their images and texts, [n, d] each, and the logit scale.
Embed = Callable[[slice], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def backward_whole(embed: Embed, rows: int, workers: Workers) -> torch.Tensor:
    """Add the loss's gradients to the parameters'; returns the loss, on its device."""
    images, texts, scale = embed(slice(0, rows))
    loss = clip_loss(workers.gather(images), workers.gather(texts), scale)
    loss.backward()
    return loss.detach()


def backward_in_parts(embed: Embed, rows: int, workers: Workers, size: int, towers: Any) -> torch.Tensor:
    """The same with `size` rows in memory at a time, equal up to the order of sums.

    Args:
        embed: Runs the towers on a slice of this worker's rows.
        rows: Of this worker.
        workers: That share the batch.
        size: Of a micro-batch.
        towers: The module that `embed` runs; gradients are synchronised once, with the last part.
    """
    parts = [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
    embedded, draws = [], []
    with torch.no_grad():
        for part in parts:
            draws.append(_generator_states())
            embedded.append(embed(part))
    images, texts = (torch.cat([each[i] for each in embedded]).requires_grad_() for i in range(2))
    scale = embedded[0][2].clone().requires_grad_()
    loss = clip_loss(workers.gather(images), workers.gather(texts), scale)
    loss.backward()
    assert images.grad is not None and texts.grad is not None and scale.grad is not None
    for part, states in zip(parts, draws, strict=True):
        _draw_again(states)
        alone = isinstance(towers, DistributedDataParallel) and part is not parts[-1]
        with towers.no_sync() if alone else nullcontext():
            part_images, part_texts, part_scale = embed(part)
            carried = (part_images * images.grad[part]).sum() + (part_texts * texts.grad[part]).sum()
            (carried + part_scale * scale.grad / len(parts)).backward()
    return loss.detach()


def _generator_states() -> list[torch.Tensor]:
    """Of what dropout draws from: the CPU's generator, and that of the card where there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def _draw_again(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
