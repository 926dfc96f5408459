"""The model families that can be trained: CLIP, and relatives with the same interface and loss.

A family has `get_image_features` and `get_text_features`, towers named `vision_model` and `text_model` with a linear
projection after each, and a `logit_scale`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModel, CLIPModel, PreTrainedConfig, PreTrainedTokenizerBase

FAMILIES = ("clip", "metaclip_2", "chinese_clip", "altclip")

#: Families that take a caption's embedding from its end-of-text token; the others take it from the first token.
READ_AT_END = ("clip", "metaclip_2")
#: eos_token_id of old CLIP folders, which means that the end-of-text token is the one with the highest id.
HIGHEST = 2

#: Reasons why similar models cannot be trained.
REFUSED = {
    "siglip": "which is trained with a sigmoid loss, not InfoNCE",
    "siglip2": "which is trained with a sigmoid loss, not InfoNCE",
    "blip": "which has cross-attention beyond the two towers",
    "blip-2": "which has cross-attention beyond the two towers",
    "align": "whose image tower has batch statistics, and which has a temperature instead of a logit_scale",
    "flava": "which embeds patches and words, not whole images and captions",
    "groupvit": "which is a segmentation model",
    "clipseg": "which is a segmentation model: give the CLIP that it was made from",
    "xclip": "which takes videos",
}


def model_config(name: str) -> PreTrainedConfig:
    """Load the configuration of a model, and check that it can be trained.

    Transformers itself would turn the folder of another model into a random CLIP.

    Raises:
        ValueError: The model is of another family, or its images are not squares.
    """
    kind = PreTrainedConfig.get_config_dict(name)[0].get("model_type", FAMILIES[0])
    if kind not in FAMILIES:
        one_tower = "which is only one of two towers" if kind.endswith(("_vision_model", "_text_model")) else None
        reason = REFUSED.get(kind, one_tower or f"which is not one of {', '.join(FAMILIES)}")
        raise ValueError(f"its config.json says model_type {kind}, {reason}")
    config = CONFIG_MAPPING[kind].from_pretrained(name)
    for field in ("image_size", "patch_size"):
        if not isinstance(size := getattr(config.vision_config, field), int):
            raise ValueError(f"its config.json says {field} {size}, but only squares are supported: one number")
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
    return model


def check_end_token(tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    """Check that captions end with the token that the model takes their embedding from.

    Raises:
        ValueError: They do not, so that all captions would have the same embedding.
    """
    if config.model_type not in READ_AT_END:
        return
    ids, end = tokenizer("a")["input_ids"], config.text_config.eos_token_id
    read = max(ids) if config.model_type == "clip" and end == HIGHEST else end
    if read not in ids or ids.index(read) != len(ids) - 1:
        where = "the highest token" if read != end else f"token {end}"
        raise ValueError(f"its captions end with token {ids[-1]}, but by eos_token_id {end} the model reads {where}")


def most_positions(config: Any) -> int:
    """Maximum number of tokens in a caption, by the positions of the text tower."""
    text = config.text_config
    if config.model_type == "altclip":  # as in RoBERTa, positions start after the padding's id
        return int(text.max_position_embeddings - text.pad_token_id - 1)
    return int(text.max_position_embeddings)


def freeze(model: CLIPModel, tower: str) -> None:
    """Freeze a tower and its projection, as LiT and OpenCLIP's --lock-image do.

    Args:
        model: The model; its logit scale is always trained.
        tower: "image", "text" or "none".
    """
    parts = {
        "none": (),
        "image": (model.vision_model, model.visual_projection),
        "text": (model.text_model, model.text_projection),
    }
    for part in parts[tower]:
        part.requires_grad_(False)


def train_mode(model: CLIPModel) -> None:
    """Put the model into training mode, except for frozen parts, which stay without dropout."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
