"""Copies of batches to a card, on a stream of their own: each runs while the batch before is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from simclip.data.training_set import Batch

T = TypeVar("T")
U = TypeVar("U")


def copied_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on the device, in page-locked memory before; on a CPU, the batches as they are."""
    if device.type != "cuda":
        yield from batches
        return
    stream = torch.cuda.Stream(device)

    def start(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            tensors = (batch.pixels, batch.boxes, batch.ids, batch.mask)
            return Batch(*(each.to(device, non_blocking=True) for each in tensors)), stream.record_event()

    for batch, copied in started_ahead(batches, start):
        training = torch.cuda.current_stream(device)
        training.wait_event(copied)
        for each in (batch.pixels, batch.boxes, batch.ids, batch.mask):
            each.record_stream(training)  # its memory is not used for later copies before the step has read it
        yield batch


def started_ahead(items: Iterable[T], start: Callable[[T], U]) -> Iterator[U]:
    """Apply `start` to each item, to the next one before the current one is yielded."""
    waiting: list[U] = []
    for item in items:
        waiting.append(start(item))
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting
