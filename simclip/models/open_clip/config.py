"""open_clip_config.json read as the configuration of a CLIP; what has no counterpart is refused by name.

Needs neither torch nor transformers: model folders are checked without them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = "open_clip_config.json"
#: Replacements that turn Hugging Face's names of weights into OpenCLIP's, applied in order.
NAMES = {
    "text_model.embeddings.token_embedding": "token_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.encoder.layers": "transformer.resblocks",
    "vision_model.encoder.layers": "visual.transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
#: Normalisation of images where the file does not say another (OpenAI's).
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
#: Accepted values of the settings of either tower that a CLIP in transformers does not have: their defaults.
FIXED: dict[str, Any] = {
    "ls_init_value": None, "attentional_pool": False, "no_ln_pre": False, "pos_embed_type": "learnable",
    "final_ln_after_pool": False, "act_kwargs": None, "block_type": None, "qk_norm": False,
    "scaled_cosine_attn": False, "scale_heads": False, "scale_attn_inner": False, "scale_attn": False,
    "scale_fc": False, "timm_model_name": None, "hf_model_name": None, "embed_cls": False, "no_causal_mask": False,
    "proj_bias": False, "proj_type": "linear", "tokenizer_kwargs": None, "tokenizer_mode": None,
}  # fmt: skip
#: Settings without effect on embeddings, or beside another setting.
IGNORED = ("patch_dropout", "output_tokens", "pad_id", "hf_tokenizer_name", "attn_pooler_queries", "attn_pooler_heads")
COMMON = ("width", "layers", "mlp_ratio", "norm_kwargs")


def read_config(folder: Path) -> dict[str, Any]:
    """Read a folder's open_clip_config.json.

    Raises:
        ValueError: It is not a mapping with a `model_cfg`.
    """
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return {"preprocess_cfg": {}, **content, "model_cfg": dict(content["model_cfg"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"its {CONFIG} cannot be read: expected a mapping with model_cfg") from error


def clip_config(model: dict[str, Any]) -> dict[str, Any]:
    """The fields of CLIP's configuration in transformers, with `model_type`.

    Args:
        model: The file's `model_cfg`.

    Raises:
        ValueError: It describes another model than a CLIP with a vision transformer.
    """
    _check(model, "", ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale"))
    image, text = model["vision_cfg"], model["text_cfg"]
    if not isinstance(image.get("layers", 12), int):
        raise ValueError(f"its {CONFIG} says vision_cfg.layers {image['layers']}, a ResNet: only ViT has a counterpart")
    _check(image, "vision_cfg.", (*COMMON, "head_width", "patch_size", "image_size", "pool_type"))
    _check(text, "text_cfg.", (*COMMON, "context_length", "vocab_size", "heads", "pool_type", "eos_id"))
    pool = text.get("pool_type", "argmax")
    if image.get("pool_type", "tok") != "tok" or pool not in ("argmax", "eos"):
        raise ValueError(f"its {CONFIG} says a pool_type that has no counterpart: expected tok, and argmax or eos")
    # An eos_token_id of 2 in a CLIP means the token with the highest id; in a MetaCLIP 2, the token 2.
    end = 2 if pool == "argmax" else int(text.get("eos_id", 2))
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    width = image.get("width", 768)
    vision = {
        **_tower(image, width), "num_attention_heads": width // image.get("head_width", 64),
        "patch_size": image.get("patch_size", 16), "image_size": image.get("image_size", 224),
    }  # fmt: skip
    words = {
        **_tower(text, text.get("width", 512)), "num_attention_heads": text.get("heads", 8),
        "max_position_embeddings": text.get("context_length", 77), "vocab_size": text.get("vocab_size", 49408),
        "eos_token_id": end,
    }  # fmt: skip
    return {
        "model_type": "metaclip_2" if pool == "eos" and end == 2 else "clip",
        "projection_dim": model["embed_dim"],
        "vision_config": {**vision, "hidden_act": activation},
        "text_config": {**words, "hidden_act": activation},
    }


def image_processor(preprocess: dict[str, Any], size: int) -> dict[str, Any]:
    """The fields of CLIP's image processor.

    Args:
        preprocess: The file's `preprocess_cfg`.
        size: Side of the model's input, in pixels.

    Raises:
        ValueError: It resizes in another way than training here does.
    """
    how = preprocess.get("resize_mode", "shortest")
    if how not in ("shortest", "squash") or preprocess.get("interpolation", "bicubic") not in ("bicubic", "random"):
        raise ValueError(
            f"its {CONFIG} says a preprocess_cfg without counterpart: expected shortest or squash, bicubic"
        )
    square = {"height": size, "width": size}
    return {
        "image_processor_type": "CLIPImageProcessor", "do_center_crop": how == "shortest", "crop_size": square,
        "size": {"shortest_edge": size} if how == "shortest" else square, "resample": 3,
        "image_mean": list(preprocess.get("mean", MEAN)), "image_std": list(preprocess.get("std", STD)),
    }  # fmt: skip


def _tower(settings: dict[str, Any], width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": int(width * settings.get("mlp_ratio", 4.0)),
        "num_hidden_layers": settings.get("layers", 12),
        "layer_norm_eps": (settings.get("norm_kwargs") or {}).get("eps", 1e-5),
    }


def _check(settings: dict[str, Any], where: str, known: tuple[str, ...]) -> None:
    for name, value in settings.items():
        about_others = name.startswith(("timm_", "hf_")) and name not in FIXED
        if name in known or name in IGNORED or about_others or (name in FIXED and value == FIXED[name]):
            continue
        raise ValueError(
            f"its {CONFIG} says {where}{name} {value}, which has no counterpart: only CLIPs whose towers are "
            "OpenCLIP's own transformers can be read"
        )
