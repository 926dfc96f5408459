"""Planning an epoch by each method, beside Algorithm 1: N = 1024 in 64 clusters of 16, on random 512-d unit vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator

from simclip.clusters.methods import NAMES, method_of
from simclip.clusters.neighbours import Neighbours
from tests.benchmarks.data import unit_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.selection import COCO, RECIPE

SHORT = 40_000


def rows(full: bool) -> Iterator[Row]:
    """A row per method besides clusters: its CPU time relative to theirs."""
    size = COCO if full else SHORT
    vectors, seconds = unit_vectors(size), {}
    for name in NAMES:
        begin = time.process_time()
        for _ in method_of(name).plan(RECIPE, Neighbours(vectors), size, size // RECIPE.batch_size, 1, 0):
            pass
        seconds[name] = time.process_time() - begin
    for name in NAMES[1:]:
        yield Row(
            f"planning an epoch by {name}, beside clusters", f"{size:,} rows", seconds[name] / seconds[NAMES[0]], "x",
            reference=seconds[NAMES[0]], ours=seconds[name], goal=1.0 if full else None, at_most=True,
            note="CPU time of a whole epoch, relative to that of clusters (under reference); 512-d, k = 16, p = 1.",
        )  # fmt: skip
