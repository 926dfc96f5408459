"""Model FLOPs utilisation: the arithmetic that a training step needs, against what the card could do."""

from __future__ import annotations

import torch
from torch import nn
from transformers import CLIPModel

#: Dense bf16 tensor-core FLOP/s by a part of the device's name, from the makers' data sheets; the first match counts.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A40": 150e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops(device: torch.device) -> float | None:
    """Dense bf16 FLOP/s of a CUDA card; None for the CPU and for cards that are not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def training_flops(model: CLIPModel, pairs: int, tokens: int) -> float:
    """Multiplications and additions of one forward and backward pass of the towers, loss apart.

    A backward pass costs two forward ones (Kaplan et al. 2020, section 2.1); a frozen tower has none. Only matrix
    products count.

    Args:
        model: The towers.
        pairs: In the batch.
        tokens: To which its captions were padded.
    """
    vision, text = model.vision_model.config, model.text_model.config
    patches = (vision.image_size // vision.patch_size) ** 2
    stem = 2.0 * patches * 3 * vision.patch_size**2 * vision.hidden_size
    image = stem + _layers(vision, patches + 1) + 2.0 * model.visual_projection.weight.numel()
    caption = _layers(text, tokens) + 2.0 * model.text_projection.weight.numel()
    if hasattr(model.text_model, "transformation"):  # AltCLIP's, from the text tower's width to the teacher's
        caption += 2.0 * tokens * model.text_model.transformation.weight.numel()
    return pairs * (_passes(model.visual_projection) * image + _passes(model.text_projection) * caption)


def _passes(projection: nn.Module) -> int:
    """Forward passes that a tower's step amounts to, by its projection: whether it is trained."""
    return 3 if any(parameter.requires_grad for parameter in projection.parameters()) else 1


def _layers(tower: object, tokens: int) -> float:
    """Of one sequence through all layers: four projections, two products of attention, the two of the MLP."""
    width, inner = tower.hidden_size, tower.intermediate_size  # type: ignore[attr-defined]
    layer = 2.0 * tokens * (4 * width * width + 2 * width * inner) + 4.0 * tokens * tokens * width
    return float(tower.num_hidden_layers * layer)  # type: ignore[attr-defined]
