"""Planning an epoch by each method, beside Algorithm 1: N = 1024 in 64 clusters of 16, on random 512-d unit vectors.

python -m tests.benchmarks.methods NAME ROWS   prints the CPU seconds of one method and its peak memory, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from simclip.clusters.methods import NAMES, method_of
from simclip.clusters.neighbours import Neighbours
from tests.benchmarks.data import unit_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.selection import COCO, RECIPE
from tests.benchmarks.timing import own_peak, printed_by

SHORT = 40_000
GIB = 2**30


def rows(full: bool) -> Iterator[Row]:
    """For each method its CPU time relative to that of clusters, and its memory."""
    size = COCO if full else SHORT
    found = {name: printed_by("methods", name, str(size)) for name in NAMES}
    clusters = found[NAMES[0]]["seconds"]
    for name in NAMES[1:]:
        yield Row(
            f"planning an epoch by {name}, beside clusters", f"{size:,} rows", found[name]["seconds"] / clusters, "x",
            reference=clusters, ours=found[name]["seconds"], goal=1.0 if full else None, at_most=True,
            note="CPU time of a whole epoch, relative to that of clusters (under reference); 512-d, k = 16, p = 1.",
        )  # fmt: skip
    for name in NAMES:
        yield Row(
            f"peak memory, planning an epoch by {name}", f"{size:,} rows", found[name]["peak"] / GIB, "GiB",
            note=f"Resident memory of the same; {found[name]['before'] / GIB:.2g} GiB of it are Python, imports and "
            f"embeddings. All similarities at once would take {4 * size**2 / GIB:.0f} GiB.",
        )  # fmt: skip


def run(name: str, size: int) -> dict[str, float]:
    """CPU seconds of an epoch, and the largest memory of the process before and after it."""
    vectors = unit_vectors(size)
    before, begin = own_peak(), time.process_time()
    for _ in method_of(name).plan(RECIPE, Neighbours(vectors), size, size // RECIPE.batch_size, 1, 0):
        pass
    return {"seconds": time.process_time() - begin, "before": before, "peak": own_peak()}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
