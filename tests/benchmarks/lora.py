"""LoRA beside full fine-tuning: CPU time of a step, peak memory, and the size of a checkpoint.

python -m tests.benchmarks.lora full|lora seconds|memory|checkpoint FOLDER   prints seconds or bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from simclip.data.pair_table import read_captions
from simclip.demo.dataset import ensure_dataset
from simclip.models.tiny import make_tiny_clip
from simclip.train.checkpoint import Snapshot, write_checkpoint
from simclip.train.loop import Training
from tests.benchmarks.loop import config
from tests.benchmarks.memory import GIB
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.timing import own_peak, printed_by

VARIANTS = {"full": {}, "lora": {"lora_rank": 8}}
BATCH, STEPS = 32, 4
SIZE = f"batches of {BATCH}, 53 million weights"
#: Makes glibc give back every large block, so that the peak is what is in use and not what its heap has scattered.
GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}


def rows(full: bool) -> Iterator[Row]:
    """A step's time, the peak memory and the checkpoint of both, each in a process of its own."""
    captions = read_captions(ensure_dataset() / "train.tsv")
    with TemporaryDirectory() as folder:
        make_tiny_clip(captions, image_size=224, patch_size=32, width=512, layers=8).save(Path(folder, "clip"))

        def measured(what: str, **environment: str) -> tuple[float, float]:
            whole, adapters = (printed_by("lora", each, what, folder, **environment) for each in VARIANTS)
            return whole, adapters

        yield speedup(
            "a step with LoRA", SIZE, *measured("seconds"),
            note="Adapters of rank 8 in attention and MLP of both towers, 8 layers of width 512 each, 224 pixels in "
            f"patches of 32; fp32, AdamW. CPU seconds, the least of {STEPS - 1} steps, after one that warms up. "
            "Reference: the same loop with all weights trained.",
        )  # fmt: skip
        idle = printed_by("memory", "idle") / GIB
        whole, adapters = (size / GIB for size in measured("memory", **GIVING_BACK))
        plain, scattered = (size / GIB for size in measured("memory"))
        yield Row(
            "peak memory with LoRA", SIZE, adapters, "GiB",
            note=f"Resident memory, including {idle:.2g} GiB of Python and imports. All weights trained: {whole:.3g} "
            "GiB. Both with MALLOC_MMAP_THRESHOLD_ at 1 MiB; by default glibc's heap keeps freed blocks, and the "
            f"peaks are {scattered:.3g} with LoRA and {plain:.3g} GiB.",
        )  # fmt: skip
        whole, adapters = measured("checkpoint")
        yield Row(
            "a checkpoint with LoRA", SIZE, adapters / 1e6, "MB",
            note="Without the best model, which both keep as an ordinary folder. All weights trained: "
            f"{whole / 1e6:,.0f} MB.",
        )  # fmt: skip


def run(variant: str, what: str, folder: Path) -> float:
    """Train for some steps; CPU seconds of the quickest one, or bytes."""
    fields = {"model": str(folder / "clip"), "batch_size": BATCH, "precision": "fp32", "learning_rate": 1e-4}
    training = Training(config(1, **fields, **VARIANTS[variant]), folder)
    plan = islice(training.planner.plan(0), STEPS)
    marks = [time.process_time()]
    for batch in training.data.batches(plan, training.share, 1, 0):
        training.step(batch)
        marks.append(time.process_time())
    if what == "seconds":
        return min(after - before for before, after in list(pairwise(marks))[1:])
    if what == "memory":
        return own_peak()
    there = folder / f"{variant}-checkpoint"
    write_checkpoint(there, Snapshot.of(training.clip, training.optimizer, training.schedule), [], None)
    files = [path for path in there.rglob("*") if path.is_file() and "best" not in path.parts]
    return sum(path.stat().st_size for path in files)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
