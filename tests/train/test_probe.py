"""The probe measures, and leaves nothing behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from simclip.clusters.neighbours import Neighbours
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder
from simclip.train.config import TrainConfig
from simclip.train.probe import probe


@pytest.mark.parametrize("changes", [{}, {"proportion": 0.0}, {"embeddings": "offline", "similarity": "image"}])
def test_rates_of_a_run(config: TrainConfig, changes: dict[str, object]) -> None:
    config = TrainConfig(**{**config.model_dump(), **changes})
    costs = probe(config)
    assert (costs.rows, costs.images, costs.captions) == (40, 12, 36)
    assert costs.batch_plan > 0 or config.is_control
    assert all(
        value > 0 for name, value in dataclasses.asdict(costs).items() if name not in ("batch_plan", "gpu_memory")
    )
    assert not list(cache_folder().glob("images-*"))
    longer = config.model_copy(update={"epochs": 2 * config.epochs})
    once = costs.load + costs.images * costs.image + costs.captions * costs.caption
    refresh = costs.rows * costs.image if config.embeddings == "offline" else 0.0
    short, long = (costs.seconds(each, config.batch_size) - once - refresh for each in (config, longer))
    assert long == pytest.approx(2 * short)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_reserved_card_is_measured_or_refused(config: TrainConfig) -> None:
    with pytest.raises(InputError, match="a GPU is reserved"):
        probe(config, gpus=0.5)


def test_plans_are_timed_on_the_device_of_the_run(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[torch.device | None] = []

    def neighbours(embeddings: np.ndarray, device: torch.device | None = None) -> Neighbours:
        devices.append(device)
        return Neighbours(embeddings, device=device)

    monkeypatch.setattr("simclip.train.probe.Neighbours", neighbours)
    probe(config)
    assert devices == [torch.device("cpu")]


def test_without_a_store_decoding_is_paid_at_every_step(config: TrainConfig) -> None:
    costs = dataclasses.replace(probe(config), step=1.0, decode=10.0, image=0.0)
    off = config.model_copy(update={"image_store": "off"})
    assert costs.preparation(config, cores=2) == (40 + 12) * 10 / 2
    assert costs.preparation(off, cores=2) == 0
    assert costs.seconds(off, 8) > costs.seconds(config, 8) + 3 * 5 * (8 * 10.0 - 1.0)
    assert costs.seconds(off.model_copy(update={"data_workers": 100}), 8) < costs.seconds(off, 8)
