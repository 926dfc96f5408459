"""Model FLOPs utilisation (MFU): the arithmetic that a training step needs, relative to the card's peak."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, CLIPModel

from simclip.models.families import family_of
from simclip.models.family import TOWERS

#: Dense bf16 tensor-core FLOP/s by the card's name without its maker, memory and socket, from the makers' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "A100": 312e12,
    "A100 PCIe": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "A40": 150e12,
    "A10": 125e12,
    "A10G": 70e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
#: Words in names of cards besides the model: maker, memory and socket.
BESIDES = re.compile(r"NVIDIA|GeForce|\d+GB|HBM\w*|SXM\d|PCIE")


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Dense bf16 FLOP/s of a CUDA card; None for the CPU, unknown cards, slices of cards (MIG) and fp32."""
    if device.type != "cuda" or dtype != torch.bfloat16:
        return None
    words = re.split("[ -]", torch.cuda.get_device_name(device))
    return PEAKS.get(" ".join(word for word in words if not BESIDES.fullmatch(word)))


class FlopCounter:
    """FLOPs of training steps, counted by PyTorch on a copy of the model without data (the meta device).

    Only matrix products and convolutions count. A backward pass counts as two forward passes (Kaplan et al. 2020,
    section 2.1), or as one where adapters are trained, as the gradients of the weights are left out; a frozen tower has
    none. The loss and the adapters are left out.
    """

    def __init__(self, model: CLIPModel) -> None:
        family = family_of(model.config)
        self._image_passes, self._text_passes = (
            _passes([weight for part in family.parts(model, tower) for weight in part.parameters()]) for tower in TOWERS
        )
        with torch.device("meta"):
            self._model: Any = AutoModel.from_config(model.config)
        size = model.vision_model.config.image_size
        pixels = torch.empty(1, 3, size, size, device="meta")
        self._per_image = _counted(self._model.get_image_features, pixel_values=pixels)
        self._per_caption = cache(self._count_caption)

    def step(self, pairs: int, tokens: int) -> float:
        """FLOPs of one forward and backward pass of both towers.

        Args:
            pairs: Number of pairs in the batch.
            tokens: Length that its captions are padded to.
        """
        caption = self._per_caption(tokens)
        return float(pairs * (self._image_passes * self._per_image + self._text_passes * caption))

    def _count_caption(self, tokens: int) -> int:
        ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
        return _counted(self._model.get_text_features, input_ids=ids)


def _passes(weights: list[torch.Tensor]) -> int:
    """Forward passes that a step of a tower is worth, by the share of its weights that are trained."""
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return 1 if not trained else 3 if 2 * trained > sum(weight.numel() for weight in weights) else 2


@torch.no_grad()
def _counted(forward: Any, **inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        forward(**inputs)
    return counter.get_total_flops()
