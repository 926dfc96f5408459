"""Tiny models of each family that can be trained, with a tokenizer and an image processor of its own kind."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceTrainer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AltCLIPConfig,
    AutoModel,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessorPil,
    CLIPImageProcessorPil,
    GemmaTokenizer,
    MetaClip2Config,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipTokenizer,
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


def siglip(words: list[str]) -> Parts:
    """SentencePiece's tokens in lower case without punctuation, padded with the end-of-text token."""
    with tempfile.TemporaryDirectory() as folder:
        SentencePieceTrainer.train(
            sentence_iterator=iter(words), model_prefix=f"{folder}/spiece", vocab_size=60, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
        tokenizer = SiglipTokenizer(
            f"{folder}/spiece.model", model_max_length=MOST_TOKENS, model_input_names=["input_ids"]
        )
        tokenizer.vocab_file = ""  # it is saved from memory
    return tokenizer, stretched(), siglip_config(tokenizer)


def siglip_2(words: list[str]) -> Parts:
    """Gemma's tokenizer as SigLIP 2's folders have it: it keeps capitals, adds an end and no beginning."""
    tokens = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokens.normalizer = normalizers.Replace(" ", "▁")
    tokens.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    tokens.train_from_iterator([*words, *(f"{word} " for word in words)], trainer)
    trained = json.loads(tokens.to_str())["model"]
    tokenizer = GemmaTokenizer(
        vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]], add_bos_token=False,
        add_eos_token=True, padding_side="right", model_max_length=MOST_TOKENS, model_input_names=["input_ids"],
    )  # fmt: skip
    return tokenizer, stretched(), siglip_config(tokenizer)


def siglip_config(tokenizer: PreTrainedTokenizerBase) -> SiglipConfig:
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": MOST_TOKENS, "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    return SiglipConfig(text_config=text, vision_config=VISION)


#: Tiny models by name: each family, and another kind of tokenizer in one of them.
MADE = {
    "metaclip_2": metaclip_2, "chinese_clip": chinese_clip, "altclip": altclip, "siglip": siglip, "siglip_2": siglip_2,
}  # fmt: skip


def stretched() -> SiglipImageProcessorPil:
    return SiglipImageProcessorPil(size={"height": 32, "width": 32})


def xlm_roberta(words: list[str]) -> XLMRobertaTokenizer:
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [("▁", -9.0), *((f"▁{word}", -1.0) for word in words)]
    return XLMRobertaTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)])


def ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def cropped() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
