"""The training function: from a configuration to a history of epochs and a checkpoint after each.

One process or one of several workers; it knows nothing of what schedules it.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from simclip.checkpoint import Row, read_history, restore_checkpoint, write_checkpoint
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.clusters.similarity import offline_embeddings, similarity_embeddings
from simclip.compute import Compute
from simclip.config import TrainConfig
from simclip.data.augment import crop_and_resize, normalise
from simclip.distributed import Workers
from simclip.encoder import Encoder
from simclip.evaluation.sets import load_sets, objective
from simclip.loss import clip_loss
from simclip.model import TwoTowers, load_clip
from simclip.optimization import clamp_logit_scale, make_optimizer, make_schedule
from simclip.stopwatch import Stopwatch
from simclip.training_data import Batch, iterations_of, load_training_data

log = logging.getLogger("simclip")

Report = Callable[[list[Row], Path | None], None]


class Training:
    """One training run: what it reads, what it changes, and its epochs."""

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device | None = None) -> None:
        """Load model and data.

        Args:
            config: The run.
            folder: Where checkpoints are written; the last one is kept.
            device: Where to compute; by default what is there.

        Raises:
            InputError: The model or the data are not as they should be.
        """
        self.config, self.folder = config, folder
        self.workers = Workers.current()
        self.compute = Compute.choose(config, device)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.share = self.workers.share_of(config.batch_size)
        self.clip = load_clip(config)
        self.data = load_training_data(config, self.clip)
        self.sets = load_sets(config, self.clip)
        self.iterations = iterations_of(config, len(self.data))
        nn.Module.to(self.clip.model, self.compute.device)
        self.encoder = Encoder(self.clip, self.compute, self.workers, config.val_batch_size, config.data_workers)
        self.offline = self._offline_neighbours()
        self.towers = TwoTowers(self.clip.model)
        self.parallel = DistributedDataParallel(self.towers) if self.workers.size > 1 else self.towers
        self.optimizer = make_optimizer(self.clip.model, config)
        self.schedule = make_schedule(self.optimizer, config, self.iterations * config.epochs)
        self.history: list[Row] = []
        self.checkpoint: Path | None = None
        self._say_what_runs()

    def resume(self, checkpoint: Path) -> None:
        """Go on after the last epoch of a checkpoint."""
        restore_checkpoint(checkpoint, self.clip, self.optimizer, self.schedule)
        self.history = read_history(checkpoint)
        self.checkpoint = checkpoint

    def run(self, report: Report) -> list[Row]:
        """Evaluate the untouched model, then train and evaluate epoch by epoch.

        Args:
            report: Called by every worker after each epoch with the whole history, and by the first worker with the
                folder of a checkpoint that holds it (epoch 0, the untouched model, has none).

        Returns:
            The history: a row per epoch.
        """
        if not self.history:
            watch = Stopwatch()
            with watch("evaluate"):
                scores = self.evaluate()
            self.history.append({"epoch": 0, **scores, **watch.summary()})
            report(self.history, None)
        for epoch in range(len(self.history) - 1, self.config.epochs):
            self.history.append(self._epoch(epoch))
            report(self.history, self._save())
        return self.history

    def evaluate(self) -> dict[str, float]:
        """Every metric of every evaluation set, and `metric`, the objective."""
        scores = {f"{each.name}/{name}": v for each in self.sets for name, v in each.score(self.encoder).items()}
        return {"metric": objective(self.config.metric, scores), **scores}

    def plan(self, epoch: int) -> np.ndarray:
        """int64 [iterations, N], the rows of every batch, planned by the first worker (epochs count from 0)."""
        config = self.config
        recipe = Recipe(config.batch_size, config.proportion_by_epoch[epoch], config.cluster_size, config.neighborhood)
        neighbours = self.offline
        if recipe.cluster_sizes and neighbours is None:
            embeddings = similarity_embeddings(config, self.data, self.encoder, epoch)
            neighbours = Neighbours(embeddings, config.max_similarity)
        if not self.workers.is_first:
            return self.workers.broadcast(np.array([]))
        batches = plan_epoch(recipe, neighbours, len(self.data), self.iterations, config.seed, epoch)
        return self.workers.broadcast(np.stack(list(batches)))

    def step(self, batch: Batch) -> torch.Tensor:
        """Forward, backward and update on one batch; returns the loss, still on its device."""
        device = self.compute.device
        pixels = crop_and_resize(batch.pixels.to(device), batch.boxes.to(device), self.clip.image_size)
        pixels = normalise(pixels, self.clip.mean, self.clip.std)
        with self.compute.autocast():
            images, texts, scale = self.parallel(pixels, batch.ids.to(device), batch.mask.to(device))
        loss = clip_loss(self.workers.gather(images), self.workers.gather(texts), scale)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        clamp_logit_scale(self.clip.model.logit_scale)
        return loss.detach()

    def _epoch(self, epoch: int) -> Row:
        watch = Stopwatch()
        with watch("plan"):
            plan = self.plan(epoch)
        self.clip.model.train()
        losses = []
        for number, batch in enumerate(
            watch.waits("data", self.data.batches(plan, self.share, self.config.seed, epoch))
        ):
            with watch("step"):
                losses.append(self.step(batch))
                if (number + 1) % self.config.log_every == 0:
                    self._log_step(epoch, number + 1, losses[-1].item(), watch)
        with watch("step"):
            loss = torch.stack(losses).mean().item()
        with watch("evaluate"):
            scores = self.evaluate()
        row = {
            "epoch": epoch + 1,
            **scores,
            "train/loss": loss,
            "train/proportion": self.config.proportion_by_epoch[epoch],
            "train/learning_rate": self.schedule.get_last_lr()[0],
            "train/logit_scale": self.clip.model.logit_scale.exp().item(),
            "pairs_per_second": plan.size / watch.seconds("data", "step"),
            **watch.summary(),
        }
        log.info("epoch %d/%d  loss %.4f  %s", epoch + 1, self.config.epochs, loss, describe(self.config, row))
        return row

    def _save(self) -> Path | None:
        """Write the checkpoint of the epoch that has just ended, and drop the one before."""
        if not self.workers.is_first:
            return None
        best = best_row(self.history, self.config.mode)
        is_best = best is self.history[-1] or self.checkpoint is None
        folder = self.folder / f"epoch-{self.history[-1]['epoch']:04d}"
        shutil.rmtree(folder, ignore_errors=True)
        earlier = None if is_best or self.checkpoint is None else self.checkpoint / "best"
        write_checkpoint(folder, self.clip, self.optimizer, self.schedule, self.history, earlier)
        if self.checkpoint is not None and self.checkpoint.parent == self.folder:
            shutil.rmtree(self.checkpoint)
        self.checkpoint = folder
        return folder

    def _offline_neighbours(self) -> Neighbours | None:
        config = self.config
        if config.is_control or config.embeddings == "online":
            return None
        return Neighbours(offline_embeddings(config, self.data, self.encoder), config.max_similarity)

    def _say_what_runs(self) -> None:
        log.info(
            "%d rows, %d captions, %d iterations of %d pairs in each of %d epochs; %s, %d worker(s), %d thread(s)",
            len(self.data), len(self.data.tokens), self.iterations, self.config.batch_size, self.config.epochs,
            self.compute, self.workers.size, torch.get_num_threads(),
        )  # fmt: skip
        if self.data.skipped:
            log.warning("%d rows left out: their images do not decode (bad_images=skip)", self.data.skipped)
        if self.data.tokens.shortened:
            log.warning("%d captions are longer than %d tokens and lose their end",
                        self.data.tokens.shortened, self.clip.max_tokens)  # fmt: skip

    def _log_step(self, epoch: int, step: int, loss: float, watch: Stopwatch) -> None:
        log.info(
            "epoch %d/%d  step %d/%d  loss %.4f  lr %.3g  p %.3g  %.0f pairs/s  waiting for data %.0f%%",
            epoch + 1, self.config.epochs, step, self.iterations, loss, self.schedule.get_last_lr()[0],
            self.config.proportion_by_epoch[epoch], step * self.config.batch_size / watch.seconds("data", "step"),
            100 * watch.seconds("data") / watch.seconds("data", "step"),
        )  # fmt: skip


def best_row(history: list[Row], mode: str) -> Row | None:
    """The trained epoch with the best objective, the earliest of equals; None before any, or where none is a number."""
    rows = [row for row in history if row["epoch"] > 0 and math.isfinite(row["metric"])]
    sign = 1 if mode == "max" else -1
    return max(rows, key=lambda row: sign * row["metric"], default=None)


def describe(config: TrainConfig, row: Row) -> str:
    """The figures of an epoch that a log line has room for."""
    metric = config.metric if isinstance(config.metric, str) else "objective"
    shares = ", ".join(f"{name.removeprefix('share/')} {row[name]:.0%}" for name in row if name.startswith("share/"))
    return f"{metric} {row['metric']:.4f}  {row['pairs_per_second']:.0f} pairs/s  {row['seconds']:.1f} s ({shares})"
