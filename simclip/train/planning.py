"""Plans the batches of a run's epochs: embeds the rows where that is due, and shares the first worker's plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simclip.clusters.coverage import Coverage
from simclip.clusters.embeddings import Limits, offline_neighbours, online_neighbours
from simclip.clusters.methods import method_of
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe
from simclip.data.training_set import TrainingData, iterations_of
from simclip.models.encoder import Encoder
from simclip.runtime.timer import Timer
from simclip.train.config import TrainConfig
from simclip.train.memory import memory_checked


class Planner:
    """Plans the epochs of one training run.

    Args:
        config: The run.
        data: Its training pairs.
        encoder: The model with its current weights, the workers of the run, and where they compute.

    Attributes:
        coverage: How often each row came in the epoch that was planned last, as far as its batches were taken.
    """

    def __init__(self, config: TrainConfig, data: TrainingData, encoder: Encoder) -> None:
        self.config, self.data, self.encoder, self.workers = config, data, encoder, encoder.workers
        self.iterations = iterations_of(len(data), config.batch_size, config.iterations_per_epoch)
        self.method = method_of(config.batching)
        self.coverage = Coverage(len(data))
        stays = config.has_clusters and config.similarity_stays
        self.offline = self._offline_neighbours() if stays else None

    def plan(self, epoch: int, timer: Timer | None = None) -> Iterator[np.ndarray]:
        """The rows of every batch of an epoch, int64 [N] each, planned by the first worker on demand.

        Similarity embeddings are refreshed immediately, with the current weights.

        Args:
            epoch: Epoch, counted from 0.
            timer: Counts the seconds of refresh and plan.
        """
        config, timer = self.config, timer or Timer()
        recipe = self._recipe(config.proportion_by_epoch[epoch])
        neighbours = self.offline
        if recipe.cluster_sizes and not config.similarity_stays:
            with timer("refresh"):
                neighbours = self._online_neighbours(epoch)
        mine = self.method.plan(recipe, neighbours, len(self.data), self.iterations, config.seed, epoch)
        planned = timer.waits("plan", mine) if self.workers.is_first else None
        self.coverage = Coverage(len(self.data))
        return self.coverage.counted(self.workers.stream(planned, self.iterations, config.batch_size))

    def _recipe(self, proportion: float) -> Recipe:
        config = self.config
        return Recipe(config.batch_size, proportion, config.cluster_size, config.neighborhood)

    def _online_neighbours(self, epoch: int) -> Neighbours | None:
        """Neighbours under the current weights, on the first worker; None on the others."""
        config = self.config
        with memory_checked(config, self.workers.size, "refresh", self.encoder.compute.device):
            return online_neighbours(
                config.similarity, self.data, self.encoder, config.seed, epoch, Limits(**config.limits)
            )

    def _offline_neighbours(self) -> Neighbours | None:
        """Neighbours for all epochs, on the first worker; None on the others."""
        config, batches = self.config, self.config.epochs * self.iterations
        recipe = self._recipe(max(config.proportion_by_epoch))
        with memory_checked(config, self.workers.size, "refresh", self.encoder.compute.device):
            neighbours = offline_neighbours(
                config.similarity, self.data, self.encoder, recipe, batches, Limits(**config.limits), self.method.lists
            )
        self.workers.wait()  # the first may have ranked all rows
        return neighbours
