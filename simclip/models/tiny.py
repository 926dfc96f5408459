"""A tiny CLIP from scratch, with a tokenizer trained on given captions, for experiments on a CPU."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

from simclip.data.tokens import clean_caption
from simclip.models.clip import Clip

BEGIN, END, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"


def train_tokenizer(captions: Iterable[str], vocabulary: int, most_tokens: int) -> PreTrainedTokenizerFast:
    """Train a lower-casing byte-pair tokenizer that adds CLIP's begin and end tokens to a caption.

    The start of a word is marked by a character: the trainer would number CLIP's end-of-word suffixes in the order of
    a hash table, which differs between processes. The end token's id must not be 2, which has a special meaning in
    old CLIP folders (see `families.clip.HIGHEST`).

    Args:
        captions: Training texts.
        vocabulary: Maximum number of tokens in the vocabulary.
        most_tokens: Maximum number of tokens in a caption.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()])
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[BEGIN, END, UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(map(clean_caption, captions), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(token, tokenizer.token_to_id(token)) for token in (BEGIN, END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        model_max_length=most_tokens,
    )


def make_tiny_clip(
    captions: Iterable[str],
    *,
    vocabulary: int = 4000,
    image_size: int = 64,
    patch_size: int = 16,
    width: int = 96,
    layers: int = 2,
    most_tokens: int = 32,
    seed: int = 0,
) -> Clip:
    """Make a small CLIP with random weights and its own tokenizer.

    Args:
        captions: Training texts of the tokenizer.
        vocabulary: Maximum number of tokens in the vocabulary.
        image_size: Side of the input in pixels, a multiple of patch_size.
        patch_size: Side of a patch in pixels.
        width: Width of both towers and of the embeddings, a multiple of 32.
        layers: Number of layers in each tower.
        most_tokens: Maximum number of tokens in a caption, begin and end included.
        seed: Seed of the weights.
    """
    tokenizer = train_tokenizer(captions, vocabulary, most_tokens)
    tower = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
    }
    text = {
        **tower,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": most_tokens,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**tower, "image_size": image_size, "patch_size": patch_size}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
    )
    return Clip(model, tokenizer, processor)
