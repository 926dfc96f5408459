"""What a run will cost, from a few steps of it."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simclip.checkpoint import write_checkpoint
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.config import TrainConfig
from simclip.evaluation.sets import Retrieval
from simclip.training import Training
from simclip.training_data import iterations_of

STEPS = 4
SAMPLE = 256


@dataclass(frozen=True)
class Costs:
    """Rates measured on one run, from which others like it are estimated.

    Attributes:
        rows: Of the training set.
        images: Of all evaluation sets.
        captions: And prompts, of all evaluation sets.
        load: Seconds until the first step.
        step: Seconds of one training step, data included.
        batch_plan: Seconds to plan one batch with clusters.
        image: Seconds to read and embed one image without augmentation.
        caption: Seconds to embed one caption.
        save: Seconds to write a checkpoint.
        memory: Bytes of main memory at the peak.
        gpu_memory: Bytes of GPU memory at the peak; 0 without a GPU.
        checkpoint: Bytes of a checkpoint.
        model: Bytes of a model folder.
    """

    rows: int
    images: int
    captions: int
    load: float
    step: float
    batch_plan: float
    image: float
    caption: float
    save: float
    memory: int
    gpu_memory: int
    checkpoint: int
    model: int

    def seconds(self, config: TrainConfig, batch_size: int) -> float:
        """Estimated seconds of a whole run; steps take as long as their batches are large.

        Args:
            config: The run.
            batch_size: Of the probed run.
        """
        iterations = iterations_of(config, self.rows)
        evaluation = self.images * self.image + self.captions * self.caption
        epoch = iterations * self.step * config.batch_size / batch_size + evaluation + self.save
        refresh = self.rows * (self.image if config.similarity == "image" else self.caption)
        plans = 0.0 if config.is_control else config.epochs * iterations * self.batch_plan
        refreshes = 0 if config.is_control else config.epochs if config.embeddings == "online" else 1
        return self.load + evaluation + config.epochs * epoch + plans + refreshes * refresh


def probe(config: TrainConfig, workers: int = 1) -> Costs:
    """Measure the rates of a run in this process.

    Args:
        config: The run.
        workers: That would share its batch; one worker's share is probed.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        training = Training(config.model_copy(update={"embeddings": "online"}), Path(scratch))
        training.share = slice(0, config.batch_size // workers)
        load = time.perf_counter() - begin
        rows = np.arange(len(training.data))
        recipe = Recipe(config.batch_size)
        batches = training.data.batches(
            np.stack(list(plan_epoch(recipe, None, len(rows), STEPS, config.seed, 0))), training.share, config.seed, 0
        )
        steps = [_seconds(lambda: training.step(next(batches)).item()) for _ in range(STEPS)]
        sample = rows[:SAMPLE]
        captions = training.data.drawn_captions(config.seed, 0, sample)
        image = _seconds(lambda: training.encoder.images(training.data.whole, len(sample))) / len(sample)
        caption = _seconds(lambda: training.encoder.texts(training.data.tokens, captions)) / len(sample)
        folder = Path(scratch) / "checkpoint"
        save = _seconds(
            lambda: write_checkpoint(folder, training.clip, training.optimizer, training.schedule, [], None)
        )
        cuda = training.compute.device.type == "cuda"
        return Costs(
            rows=len(rows),
            images=sum(len(each.images) for each in training.sets),
            captions=sum(len(each.tokens if isinstance(each, Retrieval) else each.prompts) for each in training.sets),
            load=load,
            step=statistics.median(steps[1:]),  # the first one also prepares memory and kernels
            batch_plan=_plan_seconds(config, len(rows), int(training.clip.model.config.projection_dim or 0)),
            image=image,
            caption=caption,
            save=save,
            memory=_peak_memory(),
            gpu_memory=torch.cuda.max_memory_allocated() if cuda else 0,
            checkpoint=_size(folder),
            model=_size(folder / "last"),
        )


def _plan_seconds(config: TrainConfig, rows: int, dimension: int) -> float:
    """Of one batch, on made-up embeddings of the real size."""
    if config.is_control:
        return 0.0
    embeddings = np.random.default_rng(0).standard_normal((rows, dimension), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    recipe = Recipe(config.batch_size, config.proportion_by_epoch[-1], config.cluster_size, config.neighborhood)
    plan = plan_epoch(recipe, Neighbours(embeddings), rows, 2, config.seed, 0)
    return min(_seconds(lambda: next(plan)) for _ in range(2))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _peak_memory() -> int:
    """Bytes of this process; the system counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _size(folder: Path) -> int:
    """Bytes on disk; hard links count once."""
    stats = {(stat := path.stat()).st_ino: stat.st_size for path in folder.rglob("*") if path.is_file()}
    return sum(stats.values())
