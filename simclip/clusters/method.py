"""What a method of making batches is: from the neighbours of all rows to the batches of an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from simclip.clusters.plan import Recipe, plan_epoch
from simclip.clusters.similar_rows import SimilarRows
from simclip.errors import InputError


class Method(ABC):
    """A way to make batches of similar rows. A plan is a pure function of its arguments.

    Attributes:
        once: Whether a row comes at most once while the batches of an epoch fit into the data.
        lists: Whether lists of every row's neighbours, made once for all epochs, save it time.
    """

    once: ClassVar[bool] = True
    lists: ClassVar[bool] = False

    def plan(
        self, recipe: Recipe, neighbours: SimilarRows | None, rows: int, iterations: int, seed: int, epoch: int
    ) -> Iterator[np.ndarray]:
        """Plan the batches of an epoch. Where no row comes in a cluster, that is epoch shuffling.

        Args:
            recipe: Composition of a batch.
            neighbours: Similarities of all rows; may be None if no batch has clusters.
            rows: Number of training rows, at least the batch size.
            iterations: Number of batches.
            seed: Seed of the run.
            epoch: Epoch, counted from 0.

        Returns:
            The rows of each batch, int64 [N]: its clusters first, then its independent rows.
        """
        if neighbours is None or not recipe.cluster_sizes:
            return plan_epoch(recipe, None, rows, iterations, seed, epoch)
        return self.batches(recipe, neighbours, iterations, seed, epoch)

    @abstractmethod
    def batches(
        self, recipe: Recipe, neighbours: SimilarRows, iterations: int, seed: int, epoch: int
    ) -> Iterator[np.ndarray]:
        """`plan` for batches with clusters."""

    def check(self, rows: int, batch_size: int, skip_nearest: int) -> None:
        """Refuse what cannot be planned, before a trial starts.

        Raises:
            InputError: `skip_nearest` leaves too few rows, or the method lacks a package.
        """
        if rows < batch_size + skip_nearest:
            raise InputError(
                f"skip_nearest {skip_nearest} leaves {max(0, rows - 1 - skip_nearest)} of {rows} rows as neighbours, "
                f"too few for batches of {batch_size}: expected at most {max(0, rows - batch_size)}"
            )

    def measured_rows(self, rows: int, batch_size: int) -> int:
        """Number of rows on which a dry run measures the time of a batch; fewer where more cost no more per batch."""
        return rows
