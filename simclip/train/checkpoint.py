"""Checkpoints: the state for an exact resumption, and model folders of the best and the last epoch.

A checkpoint is a folder:

    last/               Hugging Face folder of this epoch (its weights are the resumed weights); with LoRA, the adapters
    best/               Hugging Face folder of the best epoch so far
    training_state.pt   optimizer and schedule
    history.json        one row per finished epoch
    checksums.json      CRC-32 of the files above, which show damage on disk
    manifest.json       sizes of all files, which show whether the checkpoint was written or copied completely

The checkpoint of an epoch that no run resumes from (see `Checkpoints`) has best/ alone.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._pytree import tree_leaves

from simclip.models.clip import Clip
from simclip.models.lora import has_adapters, trained_weights
from simclip.models.weights import trained_model
from simclip.runtime.files import checksum, link
from simclip.train.history import Row

#: The trained weights of a model with adapters.
ADAPTERS = "last/adapters.safetensors"
#: Settings of an optimizer that say how it computes, not what.
IMPLEMENTATION = ("fused", "foreach", "capturable")

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run in main memory, which stays as it is while the run goes on.

    Attributes:
        clip: The model.
        state: The states of optimizer, schedule and scaler; None if no run is to resume from it.
    """

    clip: Clip
    state: dict[str, Any] | None

    @classmethod
    def of(
        cls,
        clip: Clip,
        optimizer: torch.optim.Optimizer,
        schedule: LambdaLR,
        scaler: GradScaler | None = None,
    ) -> Snapshot:
        """Copy what a run needs to resume; a scaler without state, or None, means that the loss is not scaled."""
        state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        if scaler and (scaled := scaler.state_dict()):
            state["scaler"] = scaled
        tensors = [leaf for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor)]
        return cls(cls.of_model(clip).clip, _copied(state, tensors))

    @classmethod
    def of_model(cls, clip: Clip) -> Snapshot:
        """Copy the model alone."""
        tensors = [*clip.model.parameters(), *clip.model.buffers()]
        return cls(replace(clip, model=_copied(clip.model, tensors)), None)


def _copied(original: T, tensors: list[torch.Tensor]) -> T:
    """A deep copy whose tensors are in main memory; nothing is allocated on their device."""
    memo: dict[int, Any] = {}
    for tensor in tensors:
        there = tensor.detach().to("cpu", copy=True)
        memo[id(tensor)] = nn.Parameter(there, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else there
    return copy.deepcopy(original, memo)


def write_checkpoint(folder: Path, snapshot: Snapshot, history: list[Row], earlier_best: Path | None) -> None:
    """Write a checkpoint that a run can resume from into a new folder.

    Args:
        folder: The new folder.
        snapshot: The run.
        history: Rows of all epochs so far.
        earlier_best: Model folder of the best epoch; None if this epoch is the best.
    """
    folder.mkdir(parents=True)
    model = snapshot.clip.model
    if has_adapters(model):
        (folder / "last").mkdir()
        save_file(trained_weights(model), folder / ADAPTERS)
        if earlier_best is None:
            snapshot.clip.save(folder / "best")
    else:
        snapshot.clip.save(folder / "last")
    if not (folder / "best").exists():
        shutil.copytree(earlier_best or folder / "last", folder / "best", copy_function=link)
    torch.save(snapshot.state, folder / "training_state.pt")
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
    if has_adapters(clip.model):
        clip.model.load_state_dict(load_file(folder / ADAPTERS), strict=False)
    else:
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
