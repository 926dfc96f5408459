"""Rank of the right answer among candidates sorted by score, computed without sorting and by all workers together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from simclip.evaluation.items import Items
from simclip.runtime.workers import Workers

#: Maximum number of scores in memory at once; queries are processed in blocks of rows.
BLOCK_ELEMENTS = 2**22


def ranks(
    queries: Tensor, candidates: Tensor, relevant: Callable[[Tensor], Tensor], workers: Workers | None = None
) -> Tensor:
    """The rank of every query's best relevant candidate, from 0.

    Each worker ranks some of the blocks that a single one would rank, so that the ranks are the same to the bit.

    Candidates are sorted by score, ties by index: a model that maps everything to one point gains nothing by ties. A
    score that is NaN ranks before the relevant ones, and a relevant score that is NaN ranks last, at c: a diverged
    model is not perfect.

    Args:
        queries: Floating point [q, d].
        candidates: Floating point [c, d], c at least 1.
        relevant: Maps row numbers [b] to a boolean [b, c], the candidates that are right for each of these queries.
        workers: All workers, each of which has the queries and the candidates; every one must make the same calls. By
            default this one alone.

    Returns:
        int64 [q] on the CPU, values from 0 to c.
    """
    workers = workers or Workers()
    blocks = torch.arange(len(queries), device=queries.device).split(max(1, BLOCK_ELEMENTS // len(candidates)))
    found = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    for rows in blocks[workers.rank :: workers.size]:
        found[rows] = _block_ranks(queries[rows] @ candidates.T, relevant(rows))
    return workers.total(found.cpu())


def _block_ranks(scores: Tensor, relevant: Tensor) -> Tensor:
    # The relevant score comes from the same product as the others: computed separately, its last bit may differ.
    best = scores.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
    tied = scores == best
    first_relevant = (tied & relevant).int().argmax(1, keepdim=True)
    lower = torch.arange(scores.shape[1], device=scores.device) < first_relevant
    return ((tied & lower) | ~(scores <= best)).sum(1)


def within(ranks: Tensor, k: int, candidates: int, images: np.ndarray) -> Items:
    """The queries whose rank is among the first k, or among all candidates if there are fewer.

    Args:
        ranks: int64 [q], from `ranks`.
        k: At least 1.
        candidates: Number of candidates.
        images: int64 [q], the row of each query's image in the set.
    """
    return Items((ranks < min(k, candidates)).cpu().numpy(), images)
