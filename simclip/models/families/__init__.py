"""The model families that can be trained, one module with one class each. A module added here is a new family."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from simclip.models.family import Family

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

#: Every family, by the `model_type` in its config.json.
FAMILIES: dict[str, Family] = {each.name: each() for each in Family.__subclasses__()}

#: The family of a config.json without a `model_type`.
DEFAULT = "clip"

#: Reasons why similar models cannot be trained.
REFUSED = {
    "siglip2": "which takes images of any shape (NaFlex): give a SigLIP 2 of fixed resolution, of model_type siglip",
    "blip": "which has cross-attention beyond the two towers",
    "blip-2": "which has cross-attention beyond the two towers",
    "align": "whose image tower has batch statistics, and which has a temperature instead of a logit_scale",
    "flava": "which embeds patches and words, not whole images and captions",
    "groupvit": "which is a segmentation model",
    "clipseg": "which is a segmentation model: give the CLIP that it was made from",
    "xclip": "which takes videos",
}


def family_of(config: Any) -> Family:
    """The family of a model, by its configuration."""
    return FAMILIES[config.model_type]


def known_family(kind: str) -> Family:
    """The family of a `model_type`.

    Raises:
        ValueError: It is not one of the families, with the reason if that is known.
    """
    if kind not in FAMILIES:
        one_tower = "which is only one of two towers" if kind.endswith(("_vision_model", "_text_model")) else None
        reason = REFUSED.get(kind, one_tower or f"which is not one of {', '.join(FAMILIES)}")
        raise ValueError(f"its config.json says model_type {kind}, {reason}")
    return FAMILIES[kind]
