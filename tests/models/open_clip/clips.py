"""Tiny CLIPs with other towers and processors than the usual ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPModel

from simclip.models.clip import Clip, load_clip

ROOT = Path(__file__).parents[3]
Changes = dict[str, Any]


def shaken(model: Any) -> Any:
    """With every weight moved, so that none of them is the same as another, or without effect."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name != "logit_scale":
                weight.add_(torch.randn(weight.shape, generator=draws), alpha=0.02)
    return model.eval()


def changed(folder: Path, model: type = CLIPModel, text: Changes | None = None, **vision: Any) -> Clip:
    """A model folder's tokenizer with another model, of random weights."""
    clip = load_clip(str(folder))
    parts = {name: getattr(clip.model.config, name).to_dict() for name in ("text_config", "vision_config")}
    parts["text_config"].update(text or {})
    parts["vision_config"].update(vision)
    for part in parts.values():
        part.pop("model_type")
    return Clip(shaken(model(model.config_class(**parts, projection_dim=24))), clip.tokenizer, clip.image_processor)
