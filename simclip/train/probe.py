"""What a run will cost, from a few steps of it."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.config.training import TrainConfig
from simclip.data.images import Pictures
from simclip.data.training_set import Batch, iterations_of
from simclip.train.checkpoint import write_checkpoint
from simclip.train.loop import Training

T = TypeVar("T")

STEPS = 4
SAMPLE = 256


@dataclass(frozen=True)
class Costs:
    """Rates measured on one run, from which others like it are estimated.

    Attributes:
        rows: Of the training set.
        images: Of all evaluation sets; one that several have counts once.
        captions: And prompts, of all evaluation sets.
        load: Seconds until the first step.
        decode: Seconds to read one image from its file, in one process.
        step: Seconds of one training step, its batch at hand.
        batch_plan: Seconds to plan one batch with clusters.
        image: Seconds to embed one image.
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
        """Estimated seconds of a whole run; steps take as long as their batches are large.

        Args:
            config: The run.
            batch_size: Of the probed run.
        """
        iterations = iterations_of(config, self.rows)
        decode = self.decode / max(1, config.data_workers) if config.image_store == "off" else 0.0
        step = max(self.step * config.batch_size / batch_size, decode * config.batch_size)
        evaluation = self.images * max(self.image, decode) + self.captions * self.caption
        epoch = iterations * step + evaluation + self.save
        refresh = self.rows * (max(self.image, decode) if config.similarity == "image" else self.caption)
        plans = 0.0 if config.is_control else config.epochs * iterations * self.batch_plan
        refreshes = 0 if config.is_control else 1 if config.similarity_stays else config.epochs
        return self.load + evaluation + config.epochs * epoch + plans + refreshes * refresh

    def preparation(self, config: TrainConfig, cores: int) -> float:
        """Estimated seconds to store all images, once per machine."""
        return 0.0 if config.image_store == "off" else (self.rows + self.images) * self.decode / cores


class Loaded:
    """Pictures in memory: what a store amounts to, without making one."""

    def __init__(self, pictures: Pictures, rows: np.ndarray) -> None:
        self.paths: Sequence[Path] = [pictures.paths[row] for row in rows]
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


def probe(config: TrainConfig, workers: int = 1) -> Costs:
    """Measure the rates of a run in this process; no image store is made for it.

    Args:
        config: The run.
        workers: That would share its batch; one worker's share is probed.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        lean = config.model_copy(update={"embeddings": "online", "similarity": "text", "image_store": "off"})
        training = Training(lean, Path(scratch))
        training.share = slice(0, config.batch_size // workers)
        load = time.perf_counter() - begin
        rows = np.arange(len(training.data))
        sample = rows[:SAMPLE]
        whole, decode = timed(lambda: Loaded(training.data.whole, sample))
        plan = np.stack(list(plan_epoch(Recipe(config.batch_size), None, len(rows), STEPS, config.seed, 0)))
        batches = list(training.data.batches(plan, training.share, config.seed, 0))
        steps = [timed(partial(_whole_step, training, batch))[1] for batch in batches]
        captions = training.data.drawn_captions(config.seed, 0, sample)
        image = timed(lambda: training.encoder.images(whole, len(sample)))[1] / len(sample)
        caption = timed(lambda: training.encoder.texts(training.data.tokens, captions))[1] / len(sample)
        folder = Path(scratch) / "checkpoint"
        save = timed(lambda: write_checkpoint(folder, training.clip, training.optimizer, training.schedule, [], None))[
            1
        ]
        cuda = training.compute.device.type == "cuda"
        return Costs(
            rows=len(rows),
            images=len({path for each in training.sets for path in each.images.paths}),
            captions=sum(len(each.tokens) for each in training.sets),
            load=load,
            decode=decode / len(sample),
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
    return min(timed(lambda: next(plan))[1] for _ in range(2))


def _whole_step(training: Training, batch: Batch) -> float:
    """A step waited for, on a GPU too."""
    return training.step(batch).item()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def _peak_memory() -> int:
    """Bytes of this process; the system counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _size(folder: Path) -> int:
    """Bytes on disk; hard links count once."""
    stats = {(stat := path.stat()).st_ino: stat.st_size for path in folder.rglob("*") if path.is_file()}
    return sum(stats.values())
