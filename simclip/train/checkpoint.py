"""Checkpoints: the state for an exact resumption, and model folders of the best and the last epoch.

A checkpoint is a folder:

    last/               Hugging Face folder of this epoch (its weights are the resumed weights)
    best/               Hugging Face folder of the best epoch so far
    training_state.pt   optimizer and schedule
    history.json        one row per finished epoch
    checksums.json      CRC-32 of the files above, which show damage on disk
    manifest.json       sizes of all files, which show whether the checkpoint was written or copied completely
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LambdaLR

from simclip.models.clip import Clip
from simclip.models.weights import trained_model
from simclip.runtime.files import checksum, link
from simclip.train.history import Row

#: Settings of an optimizer that say how it computes, not what.
IMPLEMENTATION = ("fused", "foreach", "capturable")


def write_checkpoint(
    folder: Path,
    clip: Clip,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    history: list[Row],
    earlier_best: Path | None,
    scaler: GradScaler | None = None,
) -> None:
    """Write a checkpoint into a new folder.

    Args:
        folder: The new folder.
        clip: The model.
        optimizer: Its state is saved.
        schedule: Its state is saved.
        history: Rows of all epochs so far.
        earlier_best: Model folder of the best epoch; None if this epoch is the best.
        scaler: Its state is saved; None, or without state, if the loss is not scaled.
    """
    folder.mkdir(parents=True)
    clip.save(folder / "last")
    shutil.copytree(earlier_best or folder / "last", folder / "best", copy_function=link)
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    if scaler and (scaled := scaler.state_dict()):
        state["scaler"] = scaled
    torch.save(state, folder / "training_state.pt")
    (folder / "history.json").write_text(json.dumps(history))
    (folder / "checksums.json").write_text(json.dumps({name: checksum(folder / name) for name in _files(folder)}))
    sizes = {name: (folder / name).stat().st_size for name in _files(folder)}
    (folder / "manifest.json").write_text(json.dumps(sizes))


def restore_checkpoint(
    folder: Path, clip: Clip, optimizer: torch.optim.Optimizer, schedule: LambdaLR, scaler: GradScaler | None = None
) -> None:
    """Restore model, optimizer, schedule and the scale of the loss from a checkpoint.

    The optimizer keeps its own implementation: a checkpoint from a CPU would turn off the fused one of a card.
    """
    clip.model.load_state_dict(trained_model(str(folder / "last")).state_dict())  # names in the file may differ
    state = torch.load(folder / "training_state.pt", map_location=clip.model.device, weights_only=True)
    for saved, own in zip(state["optimizer"]["param_groups"], optimizer.param_groups, strict=True):
        saved |= {name: own[name] for name in IMPLEMENTATION}
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    if scaler and "scaler" in state:
        scaler.load_state_dict(state["scaler"])


def _files(folder: Path) -> list[str]:
    """The files at any depth, as paths in the folder."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
