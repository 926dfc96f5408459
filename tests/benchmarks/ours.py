"""The project's way of each step, as training uses it: every call that a benchmark makes into it, in one place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.data.augment import augment
from simclip.data.training_set import Batch, TrainingData
from simclip.models.clip import Clip
from simclip.models.encoder import Encoder
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig


def plan(recipe: Recipe, embeddings: np.ndarray, iterations: int, device: torch.device | None = None) -> np.ndarray:
    """int64 [iterations, N], all batches of an epoch, from the embeddings on."""
    neighbours = Neighbours(embeddings, device=device)
    return np.stack(list(plan_epoch(recipe, neighbours, len(embeddings), iterations, seed=1, epoch=0)))


def encoder(clip: Clip, config: TrainConfig, device: torch.device | None = None) -> Encoder:
    """What embeds captions and images in a run."""
    compute = Compute.choose(config.precision, device)
    return Encoder(clip, compute, Workers.current(), config.val_batch_size, config.data_workers)


def batches(data: TrainingData, rows: np.ndarray, pin: bool = False) -> Iterator[Batch]:
    """The batches of a plan, int64 [iterations, N], as the host makes them; pinned for a GPU."""
    return data.batches(iter(rows), slice(None), seed=1, epoch=0, pin=pin)


def pixels(batch: Batch, clip: Clip, device: torch.device) -> torch.Tensor:
    """float32 [n, 3, s, s], what the device makes of the host's bytes: copied, cropped, resized, normalised."""
    return augment(batch.pixels.to(device), batch.boxes.to(device), clip.image_size, clip.mean, clip.std)
