"""Batches are started on their way to the device one step ahead, and stay as they are on a CPU."""

from __future__ import annotations

import torch

from simclip.data.training_set import Batch
from simclip.train.copies import copied_ahead, started_ahead


def test_the_next_copy_starts_before_a_batch_is_trained_on() -> None:
    events: list[str] = []

    def start(item: int) -> int:
        events.append(f"copy {item}")
        return item

    for item in started_ahead(range(3), start):
        events.append(f"step {item}")
    assert events == ["copy 0", "copy 1", "step 0", "copy 2", "step 1", "step 2"]
    assert list(started_ahead([], start)) == []
    assert list(started_ahead([7], start)) == [7]


def test_batches_stay_as_they_are_on_a_cpu() -> None:
    batches = [Batch(*torch.full((4, 1), number)) for number in range(3)]
    copied = list(copied_ahead(batches, torch.device("cpu")))
    assert all(one is other for one, other in zip(copied, batches, strict=True))
