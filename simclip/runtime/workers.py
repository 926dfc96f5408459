"""The workers of one training run: one process alone, or a torch.distributed group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable

from simclip.config.proportion import rows_per_worker

#: Sent by the first worker instead of an array that it failed to make.
BROKEN = -1
#: How long workers wait for what the first one does alone. A worker that died is noticed at once.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Workers:
    """The rank of this process among the workers of its run."""

    rank: int = 0
    size: int = 1
    channel: dist.ProcessGroup | None = None  # separate from DDP's, so that another thread can use it

    @classmethod
    def current(cls) -> Workers:
        """The initialised process group, else a single worker. Every worker of a group must call it."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo", timeout=PATIENCE))
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this worker plans, saves and reports."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> slice:
        """The slice of a global batch that this worker computes.

        Raises:
            InputError: The batch size is not a multiple of the number of workers.
        """
        each = rows_per_worker(batch_size, self.size)
        return slice(self.rank * each, (self.rank + 1) * each)

    def stream(self, arrays: Iterator[np.ndarray] | None, count: int, length: int) -> Iterator[np.ndarray]:
        """Broadcast the first worker's arrays, one by one; the iterator may be consumed in a separate thread.

        Args:
            arrays: On the first worker, int64 arrays of shape [length] with values of at least 0; None on the others.
            count: Number of arrays.
            length: Length of each array.

        Raises:
            RuntimeError: On the other workers, the first one failed.
        """
        if arrays is not None and self.size == 1:
            yield from arrays
            return
        for _ in range(count):
            box = torch.full([length], BROKEN)
            try:
                if arrays is not None:
                    box = torch.from_numpy(next(arrays))
            finally:  # even after a failure, so that the others do not wait forever
                dist.broadcast(box, src=0, group=self.channel)
            if arrays is None and box[0] == BROKEN:
                raise RuntimeError("the first worker failed; its log says why")
            yield box.numpy()

    def gather(self, local: torch.Tensor) -> torch.Tensor:
        """Concatenate equal parts [n, d] of all workers to [workers * n, d], in rank order; gradients flow back."""
        if self.size == 1:
            return local
        return torch.cat(list(differentiable.all_gather(local)), dim=0)

    def gather_on_host(self, local: torch.Tensor, everywhere: bool = True) -> torch.Tensor:
        """Concatenate equal parts of all workers in main memory, in rank order; without gradients.

        Args:
            local: [n, d] on the CPU.
            everywhere: Whether all workers need the result.

        Returns:
            [workers * n, d] on the CPU; on other workers than the first [0, d] if they do not need it.
        """
        if self.size == 1:
            return local
        if not (everywhere or self.is_first):
            dist.gather(local, dst=0, group=self.channel)
            return local[:0]
        whole = local.new_empty(self.size * len(local), *local.shape[1:])
        parts = list(whole.split(len(local)))
        if everywhere:
            dist.all_gather(parts, local, group=self.channel)
        else:
            dist.gather(local, parts, dst=0, group=self.channel)
        return whole

    def total(self, counts: torch.Tensor) -> torch.Tensor:
        """The sum over all workers of a tensor on the CPU; without gradients."""
        if self.size > 1:
            dist.all_reduce(counts, group=self.channel)
        return counts

    def wait(self) -> None:
        """Wait for all workers, longer than NCCL would."""
        if self.size > 1:
            dist.barrier(group=self.channel)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a scalar over all workers, on its device; without gradients."""
        if self.size == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def any_on(self, device: torch.device) -> Callable[[bool], bool]:
        """`any` with its device filled in.

        A single worker gets plain `bool`, which tells `cached_array` that no other worker takes part.
        """
        return bool if self.size == 1 else partial(self.any, device=device)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any worker; every worker must call it, and all get the same answer."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag), device=device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())
