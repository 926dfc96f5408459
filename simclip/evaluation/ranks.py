"""Where the right answer stands when all candidates are sorted by score, without sorting them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Scores held at once; blocks of rows keep to it, so that memory does not grow with the data.
BLOCK_ELEMENTS = 2**22


def places(queries: Tensor, candidates: Tensor, own: Callable[[Tensor], Tensor]) -> Tensor:
    """The place, from 0, of every query's best own candidate.

    Candidates are ordered by score, equal scores by index: a model that maps everything to one point finds nothing by
    luck of the tie. A score that is not a number counts as ahead of the own one, and an own one that is not a number
    comes last, at place c: a diverged model is not perfect.

    Args:
        queries: Floating point [q, d].
        candidates: Floating point [c, d], c at least 1.
        own: From row numbers [b] to a boolean [b, c], which candidates are right for each of these queries.

    Returns:
        int64 [q], values from 0 to c.
    """
    blocks = torch.arange(len(queries), device=queries.device).split(max(1, BLOCK_ELEMENTS // len(candidates)))
    return torch.cat([_places(queries[rows] @ candidates.T, own(rows)) for rows in blocks])


def _places(scores: Tensor, own: Tensor) -> Tensor:
    # The own score is read from the same product as the others: computed apart, it may differ from its equals in the
    # last bit.
    best = scores.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    tied = scores == best
    first_own = (tied & own).int().argmax(1, keepdim=True)
    lower = torch.arange(scores.shape[1], device=scores.device) < first_own
    return ((tied & lower) | ~(scores <= best)).sum(1)


def share_within(place: Tensor, k: int, candidates: int) -> float:
    """Share of places among the first k; with fewer than k candidates, among all of them.

    Args:
        place: int64 [q], from `places`.
        k: At least 1.
        candidates: How many there are to choose from.
    """
    return (place < min(k, candidates)).double().mean().item()
