"""Tiny models of each family that can be trained, with a tokenizer and an image processor of its own kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AltCLIPConfig,
    AutoModel,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessorPil,
    CLIPImageProcessorPil,
    MetaClip2Config,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    XLMRobertaTokenizer,
)

from simclip.models.tiny import make_tiny_clip

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
MOST_TOKENS = 16


def write_family(family: str, folder: Path, captions: Iterable[str], seed: int = 0) -> None:
    """Write a folder of a model with random weights."""
    captions = list(captions)
    if family == "clip":
        make_tiny_clip(
            captions, vocabulary=200, image_size=32, width=32, layers=1, most_tokens=MOST_TOKENS, seed=seed
        ).save(folder)
        return
    words = sorted({word for caption in captions for word in caption.lower().split()})
    tokenizer, processor, config = MADE[family](words)
    torch.manual_seed(seed)
    model = AutoModel.from_config(config, dtype=torch.float32)
    with torch.no_grad():  # such small initial weights make all captions nearly the same to it
        for weight in model.text_model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)


Parts = tuple[PreTrainedTokenizerBase, Any, PreTrainedConfig]


def chinese_clip(words: list[str]) -> Parts:
    """BERT's tokens, dropout in the text tower, pictures stretched to squares."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    processor = ChineseCLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": MOST_TOKENS, "pad_token_id": 0}
    return tokenizer, processor, ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)


def metaclip_2(words: list[str]) -> Parts:
    """XLM-RoBERTa's tokens, read at the end-of-text token, whose id is 2."""
    tokenizer = xlm_roberta(words)
    text = {**TOWER, **ids(tokenizer), "vocab_size": len(tokenizer), "max_position_embeddings": MOST_TOKENS}
    return tokenizer, cropped(), MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=24)


def altclip(words: list[str]) -> Parts:
    """XLM-RoBERTa's tokens and positions, dropout in the text tower, widths that differ all the way."""
    tokenizer = xlm_roberta(words)
    text = {**TOWER, **ids(tokenizer), "vocab_size": len(tokenizer), "max_position_embeddings": MOST_TOKENS + 2,
            "project_dim": 40}  # fmt: skip
    return tokenizer, cropped(), AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)


MADE = {"metaclip_2": metaclip_2, "chinese_clip": chinese_clip, "altclip": altclip}


def xlm_roberta(words: list[str]) -> XLMRobertaTokenizer:
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [("▁", -9.0), *((f"▁{word}", -1.0) for word in words)]
    return XLMRobertaTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)])


def ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def cropped() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
