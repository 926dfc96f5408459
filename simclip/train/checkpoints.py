"""The checkpoints of a run: which epochs have one, and which of them stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LambdaLR

from simclip.models.clip import Clip
from simclip.runtime.files import full_disk_named
from simclip.train.checkpoint import Snapshot, write_checkpoint
from simclip.train.config import TrainConfig
from simclip.train.history import Row, best_row

#: Writes a checkpoint; returns its folder, or None if the epoch has none.
Write = Callable[[], Path | None]


class Checkpoints:
    """Writes the checkpoints of a run into a folder, each epoch's into a folder of its own.

    A run resumes from every `checkpoint_every`-th epoch and from the last one. Of the epochs between them, those that
    are the best so far have a checkpoint with their model alone. The newest one that a run resumes from stays, and the
    newest of all, whose best/ is the model of the best epoch so far.

    Args:
        folder: Folder of the checkpoints.
        config: The run.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder, self.config = folder, config
        self.newest: Path | None = None

    def of_epoch(
        self,
        history: list[Row],
        clip: Clip,
        optimizer: torch.optim.Optimizer,
        schedule: LambdaLR,
        scaler: GradScaler | None = None,
    ) -> Write:
        """Copy the state of the epoch that has just ended; returns what writes it, once, while the run goes on."""
        epoch = history[-1]["epoch"]
        resumable = epoch % self.config.checkpoint_every == 0 or epoch == self.config.epochs
        is_best = self.newest is None or best_row(history, self.config.mode) is history[-1]
        if resumable:
            return partial(self._write, Snapshot.of(clip, optimizer, schedule, scaler), [*history], is_best)
        return partial(self._write, Snapshot.of_model(clip), [*history], is_best) if is_best else lambda: None

    def _write(self, snapshot: Snapshot, history: list[Row], is_best: bool) -> Path:
        folder = self.folder / f"epoch-{history[-1]['epoch']:04d}"
        shutil.rmtree(folder, ignore_errors=True)
        with full_disk_named(self.folder):
            if snapshot.state is None:
                snapshot.clip.save(folder / "best")
            else:
                earlier = None if is_best or not self.newest else self.newest / "best"
                write_checkpoint(folder, snapshot, history, earlier)
        for other in self.folder.glob("epoch-*"):
            if other != folder and (snapshot.state is not None or not (other / "training_state.pt").exists()):
                shutil.rmtree(other)
        self.newest = folder
        return folder
