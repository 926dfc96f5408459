"""The module that a training step runs: both towers, as fast as their device allows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import CLIPModel

from simclip.models.clip import TwoTowers
from simclip.models.in_bfloat16 import InBfloat16
from simclip.models.quick_gelu import fuse_quick_gelu
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers


def make_towers(model: CLIPModel, compute: Compute, workers: Workers, compiled: bool) -> Any:
    """Make the towers of a run, whose gradients are averaged over its workers.

    A card gets fewer and larger kernels; on a CPU the model is left as it is.

    Args:
        model: The model, on its device; its MLPs are fused in place on a card.
        compute: Device and precision.
        workers: All workers of the run.
        compiled: Whether to use torch.compile.
    """
    towers: nn.Module = TwoTowers(model)
    if compute.device.type == "cuda":
        fuse_quick_gelu(model)
        checkpointed = model.is_gradient_checkpointing
        # Activations are computed again outside of InBfloat16, which only autocast reaches.
        towers = InBfloat16(towers) if compute.dtype == torch.bfloat16 and not checkpointed else towers
    ready: Any = torch.compile(towers) if compiled else towers
    if workers.size == 1:
        return ready
    # Its buffers are the same on all workers: positions, which nothing changes.
    return DistributedDataParallel(ready, broadcast_buffers=False, gradient_as_bucket_view=True)
