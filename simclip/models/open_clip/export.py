"""Export: a model folder for both Hugging Face and OpenCLIP, with the weights under both libraries' names.

OpenCLIP reads `open_clip_config.json` and `open_clip_model.safetensors` from it (`local-dir:FOLDER`) and takes the
tokenizer from the Hugging Face files beside them.
"""

from __future__ import annotations

import copy
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import CLIPConfig, PreTrainedTokenizerBase

from simclip.data.images import resize_bicubic
from simclip.errors import InputError
from simclip.models.clip import Clip, load_clip
from simclip.models.model_folder import check_counterpart, check_target
from simclip.models.open_clip.config import CONFIG, NAMES


def export_model(source: str, to: Path) -> Clip:
    """Write a folder for both libraries, atomically.

    Args:
        source: Hugging Face folder of a CLIP.
        to: A new or an empty folder.

    Returns:
        The model.

    Raises:
        InputError: The source is not a CLIP, OpenCLIP has no such model, or the target is not empty.
    """
    check_target(to)
    check_counterpart(source)
    clip = load_clip(source)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as scratch:
            write_both(clip, Path(scratch, to.name))
            Path(scratch, to.name).replace(to)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{to} cannot be written ({error}): give another folder with --to") from error
    return clip


def write_both(clip: Clip, folder: Path) -> None:
    """Write the files of both libraries.

    Raises:
        InputError: OpenCLIP has no such model.
    """
    config = open_clip_config(clip)
    Clip(clip.model, _padding(clip.tokenizer), clip.image_processor).save(folder)
    save_file(open_clip_weights(clip), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def open_clip_weights(clip: Clip) -> dict[str, torch.Tensor]:
    """Convert the weights: OpenCLIP has one matrix for query, key and value, and transposed projections."""
    weights = clip.model.state_dict()
    renamed = {_renamed(name): tensor for name, tensor in weights.items() if not re.search(r"\.[qkv]_proj\.", name)}
    for name in [name for name in weights if ".q_proj." in name]:
        parts = [weights[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
        renamed[_renamed(name).replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
    for name in ("visual.proj", "text_projection"):
        renamed[name] = renamed[name].T
    # OpenCLIP would interpolate positions beyond the longest caption.
    renamed["positional_embedding"] = renamed["positional_embedding"][: clip.max_tokens]
    return {name: tensor.detach().cpu().contiguous() for name, tensor in renamed.items()}


def _renamed(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def open_clip_config(clip: Clip) -> dict[str, Any]:
    """Describe architecture, tokenizer and evaluation transform in OpenCLIP's format.

    Raises:
        InputError: OpenCLIP does not have the activation or the number of channels.
    """
    config: Any = clip.model.config
    text, vision = config.text_config, config.vision_config
    activations = {text.hidden_act, vision.hidden_act}
    if activations not in ({"gelu"}, {"quick_gelu"}):
        said = " and ".join(sorted(activations))
        raise InputError(f"OpenCLIP has no counterpart of hidden_act {said}: both towers take gelu, or both quick_gelu")
    if vision.num_channels != 3:
        raise InputError(f"OpenCLIP has no counterpart of num_channels {vision.num_channels}: its images have 3")
    model = {
        "embed_dim": config.projection_dim,
        "quick_gelu": activations == {"quick_gelu"},
        "vision_cfg": {
            **_tower(vision),
            "image_size": clip.image_size,
            "patch_size": vision.patch_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
        },
        "text_cfg": {
            **_tower(text),
            "context_length": clip.max_tokens,
            "vocab_size": text.vocab_size,
            "heads": text.num_attention_heads,
            "hf_tokenizer_name": ".",  # any name: OpenCLIP reads the folder itself
            **_pooling(config),
        },
    }
    resize = "squash" if clip.transform is resize_bicubic else "shortest"
    preprocess = {"mean": clip.mean, "std": clip.std, "interpolation": "bicubic", "resize_mode": resize}
    return {"model_cfg": model, "preprocess_cfg": {"size": clip.image_size, **preprocess}}


def _tower(config: Any) -> dict[str, Any]:
    """The settings that both kinds of tower have."""
    width, inner = config.hidden_size, config.intermediate_size
    ratio = inner / width
    return {
        "width": width,
        "layers": config.num_hidden_layers,
        "mlp_ratio": ratio if int(width * ratio) == inner else (inner + 0.5) / width,  # OpenCLIP rounds down
        "norm_kwargs": {"eps": config.layer_norm_eps},
    }


def _pooling(config: Any) -> dict[str, Any]:
    """The position in a caption that its embedding is taken from.

    An eos_token_id of 2 in a CLIP means the token with the highest id (see `families.clip.HIGHEST`).
    """
    end = config.text_config.eos_token_id
    if isinstance(config, CLIPConfig) and end == 2:
        return {"pool_type": "argmax"}
    return {"pool_type": "eos", "eos_id": end}


def _padding(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Copy a tokenizer and let it pad as `Tokens` does; OpenCLIP pads every caption."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    return tokenizer
