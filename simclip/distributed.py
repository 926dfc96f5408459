"""The workers of one training run: one process alone, or a torch.distributed group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable

from simclip.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """Who this process is among the workers of its run."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Workers:
        """The process group that is set up, else one worker."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this worker plans, saves and reports."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> slice:
        """This worker's rows of a global batch.

        Raises:
            InputError: The batch cannot be cut evenly.
        """
        if batch_size % self.size:
            raise InputError(f"batch_size {batch_size} cannot be shared by {self.size} workers: use a multiple of them")
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def broadcast(self, value: T) -> T:
        """The first worker's value, on every worker."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, local: torch.Tensor) -> torch.Tensor:
        """Equal parts [n, d] of all workers as one [workers * n, d], in rank order; gradients flow back."""
        if self.size == 1:
            return local
        return torch.cat(list(differentiable.all_gather(local)), dim=0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any worker; all of them learn it at the same step."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag), device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())
