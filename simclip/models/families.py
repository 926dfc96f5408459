"""Which models can be trained: CLIP, and relatives with the same interface that learn by the same loss.

Each has `get_image_features` and `get_text_features`, towers named `vision_model` and `text_model` with a linear
projection after each, and a `logit_scale`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModel, CLIPModel, PreTrainedConfig, PreTrainedTokenizerBase

FAMILIES = ("clip", "metaclip_2", "chinese_clip", "altclip")

#: Families that read a caption's embedding at its end-of-text token; the others do at its first token.
READ_AT_END = ("clip", "metaclip_2")
#: By this id old folders of CLIP say that the end-of-text token is the one with the highest id.
HIGHEST = 2

#: Why others cannot be trained that one might take for a CLIP.
REFUSED = {
    "siglip": "which learns by a sigmoid loss, not by InfoNCE",
    "siglip2": "which learns by a sigmoid loss, not by InfoNCE",
    "blip": "which matches pairs and writes captions by cross-attention, beyond two towers",
    "blip-2": "which matches pairs and writes captions by cross-attention, beyond two towers",
    "align": "whose image tower keeps statistics of batches, and which has a temperature, no logit_scale",
    "flava": "which has an embedding for each patch and word, not for the whole",
    "groupvit": "which learns to segment, with outputs of its own",
    "clipseg": "which learns to segment: give the CLIP that it was made from",
    "xclip": "which takes videos",
}


def model_config(name: str) -> PreTrainedConfig:
    """The shape of a model that can be trained; transformers itself would make a random CLIP of many a folder.

    Raises:
        ValueError: It is of another family, or its pictures are no squares.
    """
    kind = PreTrainedConfig.get_config_dict(name)[0].get("model_type", FAMILIES[0])
    if kind not in FAMILIES:
        one_tower = "which is one tower of two" if kind.endswith(("_vision_model", "_text_model")) else None
        reason = REFUSED.get(kind, one_tower or f"which is none of {', '.join(FAMILIES)}")
        raise ValueError(f"its config.json says model_type {kind}, {reason}")
    config = CONFIG_MAPPING[kind].from_pretrained(name)
    for field in ("image_size", "patch_size"):
        if not isinstance(size := getattr(config.vision_config, field), int):
            raise ValueError(f"its config.json says {field} {size}, and only squares are read: one number")
    return config


def trained_model(name: str) -> CLIPModel:
    """The model with its own weights, all of them, in fp32: transformers fills gaps with random numbers and a warning.

    Raises:
        ValueError: It cannot be trained, or some of its weights are missing or of another shape.
    """
    loaded: Any = AutoModel.from_pretrained(
        name, config=model_config(name), dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True
    )
    model, report = loaded
    if gaps := sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}):
        raise ValueError(f"its weights lack {gaps[0]}, or have it in another shape; {len(gaps)} such in all")
    return model


def untrained_model(name: str, seed: int) -> CLIPModel:
    """The same architecture with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: CLIPModel = AutoModel.from_config(model_config(name), dtype=torch.float32)
    return model


def check_end_token(tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    """Refuse a tokenizer whose captions end with another token than the one at which the model reads them.

    Raises:
        ValueError: All captions would have the same embedding.
    """
    if config.model_type not in READ_AT_END:
        return
    ids, end = tokenizer("a")["input_ids"], config.text_config.eos_token_id
    read = max(ids) if config.model_type == "clip" and end == HIGHEST else end
    if read not in ids or ids.index(read) != len(ids) - 1:
        where = "the highest token" if read != end else f"token {end}"
        raise ValueError(f"its captions end with token {ids[-1]}, but by eos_token_id {end} the model reads {where}")


def most_positions(config: Any) -> int:
    """Tokens of the longest caption that the text tower has positions for."""
    text = config.text_config
    if config.model_type == "altclip":  # as RoBERTa's, its positions are counted from behind the padding's id
        return int(text.max_position_embeddings - text.pad_token_id - 1)
    return int(text.max_position_embeddings)


def freeze(model: CLIPModel, tower: str) -> None:
    """Keep the weights of a tower as they are, its projection's too, as LiT and OpenCLIP's --lock-image do.

    Args:
        model: Its logit scale is trained in any case.
        tower: `image`, `text` or `none`.
    """
    parts = {
        "none": (),
        "image": (model.vision_model, model.visual_projection),
        "text": (model.text_model, model.text_projection),
    }
    for part in parts[tower]:
        part.requires_grad_(False)


def train_mode(model: CLIPModel) -> None:
    """Put the model into training mode, but for what is frozen: that is to be a function, without dropout."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
