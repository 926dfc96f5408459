"""The workers of one training run: one process alone, or a torch.distributed group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable

from simclip.errors import InputError

#: What the first worker sends in place of an array that it could not make.
BROKEN = -1


@dataclass(frozen=True)
class Workers:
    """Who this process is among the workers of its run."""

    rank: int = 0
    size: int = 1
    channel: dist.ProcessGroup | None = None  # apart from the gradients' collectives, whatever thread uses it

    @classmethod
    def current(cls) -> Workers:
        """The process group that is set up, else one worker; all workers have to call it."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))
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

    def stream(self, arrays: Iterator[np.ndarray] | None, count: int, length: int) -> Iterator[np.ndarray]:
        """The first worker's arrays, one by one, on every worker; they may be taken in a thread of their own.

        Args:
            arrays: int64 [length] each, all values at least 0; None on the other workers.
            count: How many will come.
            length: Of each.
        """
        if arrays is not None and self.size == 1:
            yield from arrays
            return
        for _ in range(count):
            box = torch.full([length], BROKEN)
            try:
                if arrays is not None:
                    box = torch.from_numpy(next(arrays))
            finally:  # the others must not wait for what will not come
                dist.broadcast(box, src=0, group=self.channel)
            if arrays is None and box[0] == BROKEN:
                raise RuntimeError("the first worker could not go on; its log says why")
            yield box.numpy()

    def gather(self, local: torch.Tensor) -> torch.Tensor:
        """Equal parts [n, d] of all workers as one [workers * n, d], in rank order; gradients flow back."""
        if self.size == 1:
            return local
        return torch.cat(list(differentiable.all_gather(local)), dim=0)

    def agreed(self, device: torch.device) -> Callable[[bool], bool]:
        """From a flag of this worker to whether it is set on any worker, who all learn it at the same step.

        One worker alone gets plain `bool`, by which `cached_array` knows that nobody waits for it.
        """
        return bool if self.size == 1 else partial(self.any, device=device)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any worker; all of them learn it at the same step."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag), device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())
