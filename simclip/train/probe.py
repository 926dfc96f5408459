"""Estimate the costs of a run from a few of its steps."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from simclip.clusters.coverage import most_seen
from simclip.clusters.methods import method_of
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.data.images import Pictures
from simclip.data.picture import Picture
from simclip.data.training_set import Batch, iterations_of
from simclip.runtime.device import reserved_device
from simclip.train.checkpoint import Snapshot, write_checkpoint
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.memory import memory_checked

T = TypeVar("T")

STEPS = 4
SAMPLE = 256


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Rates measured on one run, from which similar runs are estimated.

    Attributes:
        rows: Number of training rows.
        images: Number of images in all evaluation sets; shared images count once.
        captions: Number of captions and prompts in all evaluation sets.
        load: Seconds until the first step.
        decode: Seconds to decode one image file, in one process.
        step: Seconds of one training step, without loading its batch.
        batch_plan: Seconds to plan one batch with clusters.
        image: Seconds to embed one image.
        caption: Seconds to embed one caption.
        save: Seconds to write a checkpoint.
        memory: Peak main memory, in bytes.
        gpu_memory: Peak GPU memory, in bytes; 0 without a GPU.
        checkpoint: Size of a checkpoint, in bytes.
        model: Size of a model folder, in bytes.
    """

    rows: int
    images: int
    captions: int
    load: float
    decode: float
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
        """Estimate the seconds of a whole run; the time of a step is proportional to the batch size.

        Args:
            config: The run to estimate.
            batch_size: Batch size of the measured run.
        """
        iterations = iterations_of(self.rows, config.batch_size, config.iterations_per_epoch)
        decode = self.decode / max(1, config.data_workers) if config.image_store == "off" else 0.0
        step = max(self.step * config.batch_size / batch_size, decode * config.batch_size)
        evaluation = self.images * max(self.image, decode) + self.captions * self.caption
        epoch = max(iterations * step + evaluation, self.save)  # a checkpoint is written beside the next epoch
        embedded = {config.similarity} if config.relative_margin is None else {"image", "text"}
        each = {"image": max(self.image, decode), "text": self.caption}
        refresh = self.rows * sum(each[modality] for modality in embedded)
        plans = config.epochs * iterations * self.batch_plan if config.has_clusters else 0.0
        refreshes = 0 if not config.has_clusters else 1 if config.similarity_stays else config.epochs
        return self.load + evaluation + config.epochs * epoch + plans + refreshes * refresh

    def rows_seen(self, config: TrainConfig) -> float:
        """The largest share of rows that an epoch with the final p can be expected to show, in [0, 1]."""
        iterations = iterations_of(self.rows, config.batch_size, config.iterations_per_epoch)
        proportion = config.final_proportion if config.has_clusters else 0.0
        return most_seen(self.rows, config.batch_size, iterations, proportion, method_of(config.batching).once)

    def preparation(self, config: TrainConfig, cores: int) -> float:
        """Estimate the seconds to store all images, once per machine."""
        return 0.0 if config.image_store == "off" else (self.rows + self.images) * self.decode / cores


class Loaded:
    """Images in memory, as fast as an image store."""

    def __init__(self, pictures: Pictures, rows: np.ndarray) -> None:
        self.paths: Sequence[Picture] = [pictures.paths[row] for row in rows]
        self.size = pictures.size
        self._pixels = torch.stack([pictures[int(row)] for row in rows])

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self._pixels[row]

    def batches(
        self, batches: Iterable[Sequence[int] | np.ndarray], workers: int = 0, pin: bool = False
    ) -> Iterator[torch.Tensor]:
        """See `Pictures.batches`."""
        for rows in batches:
            yield self._pixels[torch.from_numpy(np.asarray(rows))]


def probe(config: TrainConfig, workers: int = 1, gpus: float = 0.0) -> Costs:
    """Measure the rates of a run in this process, without making an image store.

    Args:
        config: The run.
        workers: Number of workers that share its batch; the share of one is measured.
        gpus: GPUs that are reserved for this process.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, memory_checked(config, workers):
        lean = config.model_copy(
            update={"embeddings": "online", "similarity": "text", "relative_margin": None, "image_store": "off"}
        )
        training = Training(lean, Path(scratch), reserved_device(gpus))
        training.share = slice(0, config.batch_size // workers)
        load = time.perf_counter() - begin
        rows = np.arange(len(training.data))
        sample = rows[:SAMPLE]
        whole, decode = timed(lambda: Loaded(training.data.whole, sample))
        plan = np.stack(list(plan_epoch(Recipe(config.batch_size), None, len(rows), STEPS, config.seed, 0)))
        cuda = training.compute.device.type == "cuda"
        batches = list(training.data.batches(plan, training.share, config.seed, 0, pin=cuda))
        steps = [timed(partial(_whole_step, training, batch))[1] for batch in batches]
        captions = training.data.drawn_captions(config.seed, 0, sample)
        image = timed(lambda: training.encoder.images(whole, len(sample)))[1] / len(sample)
        caption = timed(lambda: training.encoder.texts(training.data.tokens, captions))[1] / len(sample)
        folder = Path(scratch) / "checkpoint"
        parts = training.clip, training.optimizer, training.schedule
        save = timed(lambda: write_checkpoint(folder, Snapshot.of(*parts), [], None))[1]
        return Costs(
            rows=len(rows),
            images=len({path for each in training.sets for path in each.images.paths}),
            captions=sum(len(each.tokens) for each in training.sets),
            load=load,
            decode=decode / len(sample),
            step=statistics.median(steps[1:]),  # the first step also allocates memory and prepares kernels
            batch_plan=_plan_seconds(config, len(rows), training),
            image=image,
            caption=caption,
            save=save,
            memory=_peak_memory(),
            gpu_memory=torch.cuda.max_memory_allocated() if cuda else 0,
            checkpoint=_size(folder),
            model=_size(folder / "best"),
        )


def _plan_seconds(config: TrainConfig, rows: int, training: Training) -> float:
    """Seconds to plan one batch, on random embeddings of the real size and on the run's device, without limits."""
    if not config.has_clusters:
        return 0.0
    method, family = method_of(config.batching), training.clip.family
    dimension = family.dimension(training.clip.model.config)
    measured = method.measured_rows(rows, config.batch_size)
    embeddings = np.random.default_rng(0).standard_normal((measured, dimension), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    recipe = Recipe(config.batch_size, config.proportion_by_epoch[-1], config.cluster_size, config.neighborhood)
    batches = 2 if measured == rows else measured // config.batch_size
    neighbours = Neighbours(embeddings, device=training.compute.device)

    def plan() -> None:
        deque(method.plan(recipe, neighbours, measured, batches, config.seed, 0), maxlen=0)

    return min(timed(plan)[1] for _ in range(2)) / batches


def _whole_step(training: Training, batch: Batch) -> float:
    """Train on a batch, and wait for a GPU to finish."""
    return training.step(batch).item()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result of a call and its seconds."""
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def _peak_memory() -> int:
    """Peak memory of this process in bytes; Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _size(folder: Path) -> int:
    """Size of a folder in bytes; hard links count once."""
    stats = {(stat := path.stat()).st_ino: stat.st_size for path in folder.rglob("*") if path.is_file()}
    return sum(stats.values())
