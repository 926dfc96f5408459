"""Planning the batches of an epoch: N = 1024 in 64 clusters of 16, on 512-d unit vectors in random directions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from simclip.clusters import neighbours
from simclip.clusters.plan import Recipe
from tests.benchmarks import ours, reference
from tests.benchmarks.data import unit_vectors
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.timing import interleaved

RECIPE = Recipe(batch_size=1024, proportion=1.0, cluster_size=16)
CLUSTERS = len(RECIPE.cluster_sizes)
COCO = 118_287
SIZES = {10_000: None, 40_000: None, COCO: 90.0}  # rows and the goal
DOUBLING = (20_000, 40_000, 80_000)
MANY = 600_000
BESIDE = {1024: 10.0, 8192: 60.0}  # batch sizes and the goals, CPU milliseconds a batch
SHORT = 24  # batches of an epoch that the short run plans


def rows(full: bool) -> Iterator[Row]:
    """A row per size, then how the time of so many batches grows with the rows."""
    for size, goal in SIZES.items():
        yield against_reference(
            size, size // RECIPE.batch_size if full else min(SHORT, size // RECIPE.batch_size), goal
        )
    yield from doubling(SHORT, repeats=5)
    if full:
        for batch_size, goal in BESIDE.items():
            yield beside_products(batch_size, goal)


def against_reference(size: int, iterations: int, goal: float | None) -> Row:
    """Per batch: the reference on some clusters of one batch, we on `iterations` batches."""
    embeddings = unit_vectors(size)
    sampled = 8 if size > 50_000 else CLUSTERS // 2
    anchors = np.random.default_rng(1).choice(size, sampled, replace=False).tolist()
    tensor = torch.from_numpy(embeddings)
    mine, theirs = interleaved(
        3,
        lambda: ours.plan(RECIPE, embeddings, iterations),
        lambda: reference.grow_clusters(tensor, anchors, RECIPE.cluster_size),
    )
    whole = size // RECIPE.batch_size
    planned = "the whole epoch" if iterations == whole else f"its first {iterations} batches"
    return speedup(
        "planning, per batch", f"{size:,} rows", theirs * CLUSTERS / sampled, mine / iterations, goal,
        f"N = 1024, 64 clusters of 16, 512-d. Reference: {sampled} of one batch's 64 clusters, extrapolated. "
        f"Ours: {planned} (an epoch has {whole}), divided by the number of batches.",
    )  # fmt: skip


def doubling(iterations: int, repeats: int) -> Iterator[Row]:
    """Time of a fixed number of batches for twice as many rows, relative to the time for the rows."""
    vectors = unit_vectors(max(DOUBLING))
    parts = [vectors[:size] for size in DOUBLING]
    seconds = interleaved(repeats, *(lambda part=part: ours.plan(RECIPE, part, iterations) for part in parts))
    for (small, before), (large, after) in pairwise(zip(DOUBLING, seconds, strict=True)):
        yield Row(
            f"planning {iterations} batches, rows doubled", f"{small:,} → {large:,} rows", after / before, "x",
            ours=after, goal=2.2, at_most=True,
            note="Our time for twice as many rows, relative to our time for the rows.",
        )  # fmt: skip


def beside_products(batch_size: int, goal: float) -> Row:
    """CPU time of a batch without the products with all rows, which a card computes where there is one."""
    products = 0.0
    candidates = neighbours._candidates

    def timed(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        nonlocal products
        begin = time.process_time()
        found = candidates(*arguments)
        products += time.process_time() - begin
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_candidates", timed)
        patch.setattr(neighbours, "FEW_ROWS", MANY)  # fp32 products, as on a card
        embeddings, count = unit_vectors(MANY), 2 * 8192 // batch_size
        begin = time.process_time()
        ours.plan(Recipe(batch_size, 1.0, 16), embeddings, count)
        cpu = time.process_time() - begin - products
    return Row(
        "planning beside the products, CPU ms a batch", f"N = {batch_size:,}, {MANY:,} rows", 1000 * cpu / count, "ms",
        ours=cpu / count, goal=goal, at_most=True,
        note="Clusters of 16, 512-d, one thread: what the host does where a card computes the products.",
    )  # fmt: skip
