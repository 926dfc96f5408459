"""Models with trained or random weights, and which of them are trained further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModel, CLIPModel, PreTrainedConfig

from simclip.models.families import DEFAULT, family_of, known_family
from simclip.models.family import Tower


def model_config(name: str) -> PreTrainedConfig:
    """Load the configuration of a model, and check that it can be trained.

    Transformers itself would turn the folder of another model into a random CLIP.

    Raises:
        ValueError: The model is of another family, or its images are not squares.
    """
    family = known_family(PreTrainedConfig.get_config_dict(name)[0].get("model_type", DEFAULT))
    config = CONFIG_MAPPING[family.name].from_pretrained(name)
    family.check(config)
    return config


def trained_model(name: str) -> CLIPModel:
    """Load a model with its trained weights, in fp32.

    Transformers itself would fill gaps with random numbers, with only a warning.

    Raises:
        ValueError: The model cannot be trained, or weights are missing or have another shape.
    """
    loaded: Any = AutoModel.from_pretrained(
        name,
        config=model_config(name),
        dtype="float32",
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        trust_remote_code=False,
    )
    model, report = loaded
    if gaps := sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}):
        raise ValueError(f"{gaps[0]} is missing from its weights or has another shape; {len(gaps)} such weights in all")
    return model


def untrained_model(name: str, seed: int) -> CLIPModel:
    """Make a model of the same architecture with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: CLIPModel = AutoModel.from_config(model_config(name), dtype=torch.float32, trust_remote_code=False)
    family_of(model.config).initialise(model)
    return model


def between(
    base: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], alpha: float
) -> dict[str, torch.Tensor]:
    """The weights (1 - alpha) base + alpha tuned; at 0 and 1 those of one model to the bit.

    Source: WiSE-FT (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903).

    Args:
        base: Weights of a model by name.
        tuned: Weights of a model of the same shape.
        alpha: From 0 to 1.

    Raises:
        ValueError: A weight is missing from one of the models, or has another shape there.
    """
    for name in sorted({*base} ^ {*tuned}):
        raise ValueError(f"{name} is in one of the two models only")
    for name, weight in tuned.items():
        if weight.shape != base[name].shape:
            raise ValueError(f"{name} is {[*weight.shape]} in one model and {[*base[name].shape]} in the other")
    return {
        name: torch.lerp(base[name], weight, alpha) if weight.is_floating_point() else weight
        for name, weight in tuned.items()
    }


def freeze(model: CLIPModel, tower: Tower) -> None:
    """Freeze a tower and its projection, as LiT and OpenCLIP's --lock-image do; the logit scale is always trained."""
    for part in family_of(model.config).parts(model, tower):
        part.requires_grad_(False)


def train_mode(model: CLIPModel) -> None:
    """Put the model into training mode, except for frozen parts, which stay without dropout."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
