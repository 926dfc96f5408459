"""One step of a worker out of eight, in a pretended NCCL group; prints its collectives and what DDP is told."""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from simclip.runtime.workers import Workers
from simclip.train import towers
from tests.fake_cuda.count import Count, tensors
from tests.fake_cuda.step import architecture
from tests.fake_cuda.training import batch_on_host, training_on_card

COLLECTIVES = ("all_gather", "all_reduce", "broadcast", "reduce_scatter", "all_to_all", "barrier")
WORKERS, PAIRS = 8, 64


def main() -> None:
    dist.init_process_group("fake", store=FakeStore(), rank=3, world_size=WORKERS)
    seen: list[tuple[str, list[str], list[int]]] = []
    for name in COLLECTIVES:
        setattr(dist, name, spied(getattr(dist, name), name, seen))
    nccl: Any = dist
    nccl.get_backend = lambda group=None: dist.Backend.NCCL
    told: dict[str, Any] = {}
    # The real one reads the weights' data, which fake ones do not have.
    towers.DistributedDataParallel = lambda module, **named: told.update(named) or module  # type: ignore[assignment, misc]
    with FakeTensorMode(allow_non_fake_inputs=True):
        training = training_on_card(architecture("clip"), Workers(3, WORKERS), batch_size=PAIRS)
        with Count() as count:
            training.step(batch_on_host(PAIRS // WORKERS, 9, 36))
    print(json.dumps({"collectives": seen, "waits": count.waits, "told": told}))


def spied(collective: Any, name: str, seen: list[Any]) -> Any:
    def noted(*arguments: Any, **named: Any) -> Any:
        sent = tensors(arguments, named)
        seen.append((name, sorted({str(each.device) for each in sent}), [list(each.shape) for each in sent][:1]))
        return collective(*arguments, **named)

    return noted


if __name__ == "__main__":
    assert torch.cuda.is_available()
    main()
