"""Methods that form all groups of an epoch first, each row in at most one, and then deal them to the batches."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from simclip.clusters.method import Method
from simclip.clusters.plan import Recipe
from simclip.clusters.similar_rows import SimilarRows
from simclip.errors import ArmError
from simclip.runtime.randomness import generator

log = logging.getLogger("simclip")


class Grouping(Method):
    """A method that forms groups of k rows; all groups of an epoch are formed before its first batch.

    An epoch of more batches than fit into the data is several rounds, which are planned like epochs.
    """

    def batches(
        self, recipe: Recipe, neighbours: SimilarRows, iterations: int, seed: int, epoch: int
    ) -> Iterator[np.ndarray]:
        """See `Method`.

        Raises:
            ArmError: The limits on neighbours leave less than half of the groups that p asks for.
        """
        most = len(neighbours) // recipe.batch_size
        for number, begin in enumerate(range(0, iterations, most)):
            count = min(most, iterations - begin)
            wanted = count * len(recipe.cluster_sizes)
            groups = self.groups(recipe, neighbours, wanted, (seed, epoch, number))
            if len(groups) < wanted:
                _check(groups, wanted, neighbours, epoch)
            yield from deal(recipe, groups, len(neighbours), count, (seed, epoch, number))

    @abstractmethod
    def groups(
        self, recipe: Recipe, neighbours: SimilarRows, wanted: int, key: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """Form groups of as many rows as a batch's largest cluster has.

        Args:
            recipe: Composition of a batch; it has clusters.
            neighbours: Similarities of all rows.
            wanted: Number of groups that the batches have room for; more are ignored.
            key: Seed, epoch and round.

        Returns:
            int64 [k] each; no row is in two of them.
        """


def deal(
    recipe: Recipe, groups: list[np.ndarray], rows: int, iterations: int, key: tuple[int, int, int]
) -> Iterator[np.ndarray]:
    """Deal groups to batches in random order, and fill the batches with the other rows, shuffled.

    Missing groups are missing evenly, and independent rows take their places. Of a group that takes the place of a
    batch's smaller cluster, the rows that do not fit are independent.

    Args:
        recipe: Composition of a batch.
        groups: int64 [k] each, disjoint.
        rows: Number of rows, at least those of all batches.
        iterations: Number of batches.
        key: Seed, epoch and round.

    Yields:
        int64 [N], its groups first. No row comes twice.
    """
    seed, *rest = key
    sizes = recipe.cluster_sizes
    order = generator(seed, "deal", *rest).permutation(len(groups))[: iterations * len(sizes)]
    clustered = [
        [groups[group][:size] for group, size in zip(order[batch::iterations], sizes, strict=False)]
        for batch in range(iterations)
    ]
    alone = np.ones(rows, dtype=bool)
    for batch in clustered:
        for group in batch:
            alone[group] = False
    shuffled = generator(seed, "shuffle", *rest).permutation(rows)
    others = shuffled[alone[shuffled]]
    begin = 0
    for batch in clustered:
        end = begin + recipe.batch_size - sum(map(len, batch))
        yield np.concatenate([*batch, others[begin:end]])
        begin = end


def _check(groups: list[np.ndarray], wanted: int, neighbours: SimilarRows, epoch: int) -> None:
    """Say that groups are missing, or refuse to go on without most of them."""
    if 2 * len(groups) < wanted:
        raise ArmError(
            f"{neighbours.limits or 'the data'} allow only {len(groups)} of the {wanted} groups that an epoch's "
            "batches have room for: loosen the limits, or lower k or p"
        )
    log.info("epoch %d: %d of %d groups; independent rows replace the others", epoch + 1, len(groups), wanted)
