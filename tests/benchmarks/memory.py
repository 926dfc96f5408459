"""Peak memory of the host, each in a process of its own.

python -m tests.benchmarks.memory idle|plan|reference|epoch   prints bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from simclip.demo.dataset import ensure_dataset
from simclip.train.loop import Training
from tests.benchmarks import ours, reference
from tests.benchmarks.data import unit_vectors
from tests.benchmarks.loop import config
from tests.benchmarks.rows import Row
from tests.benchmarks.selection import COCO, RECIPE, SHORT
from tests.benchmarks.timing import own_peak, printed_by

GIB = 2**30


def rows(full: bool) -> Iterator[Row]:
    """Peak memory of planning at COCO's size, ours and the reference's, and of a run of the demo."""
    idle, plan, theirs, epoch = (printed_by("memory", what) / GIB for what in ("idle", "plan", "reference", "epoch"))
    vectors = COCO * 512 * 4 / GIB
    yield Row(
        "peak memory, planning", f"{COCO:,} rows", plan, "GiB",
        note=f"Resident memory, including {idle:.2g} GiB of Python and imports and {vectors:.2g} GiB of embeddings. "
        f"The reference's selection peaks at {theirs:.2g} GiB.",
    )  # fmt: skip
    yield Row("peak memory, two epochs", "the demo, k = 8, p = 1", epoch, "GiB",
              note=f"Resident memory, including {idle:.2g} GiB of Python and imports.")  # fmt: skip


def run(what: str) -> None:
    """What the process is for."""
    if what == "plan":
        ours.plan(RECIPE, unit_vectors(COCO), SHORT)
    elif what == "reference":
        reference.grow_clusters(torch.from_numpy(unit_vectors(COCO)), [0, 1], RECIPE.cluster_size)
    elif what == "epoch":
        ensure_dataset()
        with TemporaryDirectory() as scratch:
            Training(config(2, cluster_size=8, proportion=1.0), Path(scratch)).run(lambda history, checkpoint: None)


if __name__ == "__main__":
    run(sys.argv[1])
    print(own_peak())
