"""Training: one training run, from a configuration to a history of epochs and a checkpoint after each.

It runs in a single process or in each of several workers, and does not depend on what schedules it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import torch
from torch import nn

from simclip.data.augment import augment
from simclip.data.tokens import ALIGNED
from simclip.data.training_set import Batch
from simclip.evaluation.baseline import base_scores
from simclip.evaluation.items import Items, Share
from simclip.evaluation.objective import objective
from simclip.evaluation.sets import evaluate
from simclip.models.caching_encoder import CachingEncoder
from simclip.models.encoder import Encoder
from simclip.models.flops import FlopCounter, peak_flops
from simclip.models.weights import train_mode
from simclip.runtime.background import Background
from simclip.runtime.device import Compute
from simclip.runtime.randomness import generator
from simclip.runtime.timer import Timer
from simclip.runtime.workers import Workers
from simclip.train.checkpoint import restore_checkpoint
from simclip.train.checkpoints import Checkpoints, Write
from simclip.train.config import TrainConfig
from simclip.train.copies import copied_ahead
from simclip.train.gradients import backward_in_parts, backward_whole
from simclip.train.history import Row, best_row, read_history
from simclip.train.load import load_data, load_evaluation_sets, load_model
from simclip.train.memory import Phase, memory_checked
from simclip.train.optimizer import clamp_logit_scale, make_optimizer, make_schedule
from simclip.train.planning import Planner
from simclip.train.towers import make_towers

log = logging.getLogger("simclip")

Report = Callable[[list[Row], Path | None], None]
KeepItems = Callable[[list[Row], dict[str, tuple[Items, ...]]], None]


class Training:
    """One training run: its model and data, and its epochs."""

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device | None = None) -> None:
        """Load model and data.

        Args:
            config: The run.
            folder: Folder of the checkpoints (see `Checkpoints`).
            device: By default CUDA if there is a card, else the CPU.

        Raises:
            InputError: Model or data are missing or wrong.
        """
        self.config = config
        self.checkpoints = Checkpoints(folder, config)
        self.workers = Workers.current()
        self.compute = Compute.choose(config.precision, device)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.share = self.workers.share_of(config.batch_size)
        self.clip = load_model(config)
        self.data = load_data(config, self.clip)
        self.sets = load_evaluation_sets(config, self.clip)
        self.workers.wait()  # one on another node may have made the image store there
        nn.Module.to(self.clip.model, self.compute.device)
        self.encoder = Encoder(
            self.clip, self.compute, self.workers, config.val_batch_size, config.data_workers, config.embed_batch_size
        )
        self.planner = Planner(config, self.data, self.encoder)
        self.iterations = self.planner.iterations
        self.prepare(self.iterations * config.epochs)
        self.peak_flops = peak_flops(self.compute.device, self.compute.dtype)
        self.flop_counter = FlopCounter(self.clip.model) if self.peak_flops else None
        self.history: list[Row] = []
        self.items: dict[str, tuple[Items, ...]] = {}
        self._log_setup()

    def prepare(self, steps: int) -> None:
        """Make what a step needs besides its batch: the towers, the optimizer and the schedule.

        Args:
            steps: Length of the run.
        """
        config = self.config
        self.loss = self.clip.loss.with_hardness(config.hardness)
        self.scaler = torch.amp.GradScaler(self.compute.device.type, enabled=self.compute.dtype == torch.float16)
        self.parallel = make_towers(self.clip.model, self.compute, self.workers, config.compile)
        self.optimizer = make_optimizer(
            self.clip.model,
            learning_rate=config.peak_learning_rate,
            weight_decay=config.weight_decay,
            betas=(config.beta1, config.beta2),
            epsilon=config.epsilon,
            layer_decay=config.layer_decay,
        )
        self.schedule = make_schedule(self.optimizer, config.schedule_name, config.warmup_steps(steps), steps)

    def resume(self, checkpoint: Path) -> None:
        """Continue after the last epoch of a checkpoint."""
        restore_checkpoint(checkpoint, self.clip, self.optimizer, self.schedule, self.scaler)
        self.history = read_history(checkpoint)
        self.checkpoints.newest = checkpoint

    def run(self, report: Report, keep_items: KeepItems | None = None) -> list[Row]:
        """Evaluate the base model, then train and evaluate epoch by epoch.

        Each epoch is saved and reported in a thread while the next one is trained; a report that raises ends the run.

        Args:
            report: Called by every worker after each epoch with a copy of the history, and on the first worker with the
                folder of the epoch's checkpoint, which is complete (epoch 0, the base model, has none).
            keep_items: Called after each epoch, before it is saved, with the history and `items`.

        Returns:
            The history, a row per epoch.
        """
        with Background() as reports:
            if not self.history:
                timer = Timer()
                with timer("evaluate"):
                    scores = base_scores(self.sets, self.encoder, self.evaluate)
                self.history.append({"epoch": 0, **self._with_objective(scores), **timer.summary()})
                reports.start(partial(report, [*self.history], None))
            elif len(self.history) > self.config.epochs:  # the run was lost after its last epoch, before the report
                reports.start(partial(report, [*self.history], self.checkpoints.newest))
            for epoch in range(len(self.history) - 1, self.config.epochs):
                self.history.append(self._epoch(epoch, reports))
                if keep_items:
                    keep_items(self.history, self.items)
                reports.wait()  # so that one copy of the run is in memory at a time
                reports.start(partial(_save_and_report, self._copied(), report, [*self.history]))
        return self.history

    def _copied(self) -> Write | None:
        """What writes the checkpoint of the epoch that has just ended; None on other workers than the first."""
        if not self.workers.is_first:
            return None
        return self.checkpoints.of_epoch(self.history, self.clip, self.optimizer, self.schedule, self.scaler)

    def evaluate(self, epoch: int = 0) -> dict[str, float]:
        """The metrics after an epoch, by <set>/<metric>; epoch 0 is the base model.

        Sets that are not due are skipped, unless this is the best epoch so far or the last one: the epoch that tables
        show and whose model is kept has all metrics. `items` then holds which queries, images or pairs were right.
        """
        encoder = CachingEncoder(self.encoder)
        due = [each for each in self.sets if epoch % each.source.every == 0 or epoch == self.config.epochs]
        others = [each for each in self.sets if each not in due]
        with self._memory_checked("evaluation"):
            scores = evaluate(due, encoder)
            if others and self.workers.any(self._is_best_so_far(scores), self.compute.device):
                scores |= evaluate(others, encoder)
        self.items = {name: score.parts for name, score in scores.items() if isinstance(score, Share)}
        return {name: float(score) for name, score in scores.items()}

    def _memory_checked(self, phase: Phase) -> AbstractContextManager[None]:
        return memory_checked(self.config, self.workers.size, phase, self.compute.device)

    def _is_best_so_far(self, scores: dict[str, float]) -> bool:
        history = [*self.history, {"epoch": len(self.history), "metric": objective(self.config.metric, scores)}]
        return best_row(history, self.config.mode) is history[-1]

    def step(self, batch: Batch) -> torch.Tensor:
        """Update the weights on one batch; returns the loss, on its device."""
        device = self.compute.device
        pixels, boxes, ids, mask = (
            each.to(device, non_blocking=True) for each in (batch.pixels, batch.boxes, batch.ids, batch.mask)
        )

        def embed(rows: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            clip = self.clip
            images = augment(pixels[rows], boxes[rows], clip.image_size, clip.mean, clip.std)
            with self.compute.autocast():
                return self.parallel(images, ids[rows], mask[rows])

        self.optimizer.zero_grad(set_to_none=True)
        rows, size = len(ids), self.config.micro_batch_size
        if size is None or size >= rows:
            loss = backward_whole(embed, rows, self.workers, self.loss, self.scaler)
        else:
            loss = backward_in_parts(embed, rows, self.workers, self.loss, size, self.parallel, self.scaler)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.loss.clamped:
            clamp_logit_scale(self.clip.model.logit_scale)
        return loss

    def _epoch(self, epoch: int, reports: Background) -> Row:
        timer = Timer()
        plan = self.planner.plan(epoch, timer)
        on_cuda = self.compute.device.type == "cuda"
        aligned = ALIGNED if on_cuda or self.config.compile else 1
        batches = self.data.batches(plan, self.share, self.config.seed, epoch, pin=on_cuda, multiple=aligned)
        train_mode(self.clip.model)
        torch.manual_seed(int(generator(self.config.seed, "dropout", epoch, self.workers.rank).integers(2**31)))
        losses, flops = [], 0.0
        with closing(batches):
            copied = copied_ahead(batches, self.compute.device)
            for number, batch in enumerate(timer.waits("data", copied)):
                reports.check()
                with timer("step"), self._memory_checked("training"):
                    losses.append(self.step(batch))
                    flops += self.flop_counter.step(*batch.ids.shape) if self.flop_counter else 0.0
                    if (number + 1) % self.config.log_every == 0:
                        self._log_step(epoch, number + 1, losses[-1].item(), timer, flops)
        with timer("step"):
            loss = torch.stack(losses).mean().item()
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"epoch {epoch + 1}: the loss is {loss}; lower train.learning_rate, or try train.precision=fp32"
            )
        with timer("evaluate"):
            scores = self.evaluate(epoch + 1)
        row = {
            "epoch": epoch + 1,
            **self._with_objective(scores),
            "train/loss": loss,
            "train/proportion": self.config.proportion_by_epoch[epoch],
            "train/learning_rate": self.schedule.get_last_lr()[0],
            "train/logit_scale": self.clip.model.logit_scale.exp().item(),
            **self.planner.coverage.summary(),
            "pairs_per_second": self.iterations * self.config.batch_size / timer.seconds("data", "step"),
            **self._utilisation(flops, timer),
            **timer.summary(),
        }
        log.info("epoch %d/%d  loss %.4f  %s", epoch + 1, self.config.epochs, loss, describe(self.config, row))
        return row

    def _with_objective(self, scores: dict[str, float]) -> dict[str, float]:
        return {"metric": objective(self.config.metric, scores), **scores}

    def _log_setup(self) -> None:
        log.info(
            "%d rows, %d captions, %d iterations of %d pairs in each of %d epochs; %s, %d worker(s), %d thread(s)",
            len(self.data), len(self.data.tokens), self.iterations, self.config.batch_size, self.config.epochs,
            self.compute, self.workers.size, torch.get_num_threads(),
        )  # fmt: skip
        if self.config.freeze != "none":
            log.info("the %s tower is frozen (freeze)", self.config.freeze)
        for note in [*self.data.notes, *(note for each in self.sets for note in each.notes)]:
            log.warning("%s", note)

    def _utilisation(self, flops: float, timer: Timer) -> dict[str, float]:
        """Model FLOPs utilisation of this worker's card in the epoch so far; empty if its peak is unknown.

        Of the time for data and steps together: a card works on a step while the host already waits for data.
        """
        return {"mfu": flops / timer.seconds("data", "step") / self.peak_flops} if self.peak_flops else {}

    def _log_step(self, epoch: int, step: int, loss: float, timer: Timer, flops: float) -> None:
        looped = timer.seconds("data", "step")
        mfu = "".join(f"  MFU {value:.0%}" for value in self._utilisation(flops, timer).values())
        log.info(
            "epoch %d/%d  step %d/%d  loss %.4f  lr %.3g  p %.3g  %.0f pairs/s%s  waiting for data %.0f%%",
            epoch + 1, self.config.epochs, step, self.iterations, loss, self.schedule.get_last_lr()[0],
            self.config.proportion_by_epoch[epoch], step * self.config.batch_size / looped, mfu,
            100 * timer.seconds("data") / looped,
        )  # fmt: skip


def _save_and_report(write: Write | None, report: Report, history: list[Row]) -> None:
    report(history, write() if write else None)


def describe(config: TrainConfig, row: Row) -> str:
    """The main figures of an epoch, for a log line."""
    metric = config.metric if isinstance(config.metric, str) else "objective"
    shares = ", ".join(f"{name.removeprefix('share/')} {row[name]:.0%}" for name in row if name.startswith("share/"))
    return f"{metric} {row['metric']:.4f}  {row['pairs_per_second']:.0f} pairs/s  {row['seconds']:.1f} s ({shares})"
