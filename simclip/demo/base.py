"""The demo's base model: a tiny CLIP that knows part of the demo's scenes before it is fine-tuned.

It is trained with plain InfoNCE on unrelated scenes that are not in the data set: only couples and groups, in half of
the colours and shapes, on three of the grounds. Houses, boats and flags are new to it. `python -m simclip.demo base`
trains it, in 30 to 60 seconds on one core.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import normalize
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast, get_scheduler

from simclip.demo.canvas import SIDE
from simclip.demo.captions import captions, words
from simclip.demo.dataset import BASE, split
from simclip.demo.pictures import draw
from simclip.demo.scenes import KNOWN_KINDS, UNKNOWN, unrelated
from simclip.models.loss import clip_loss

TOKENS = 24
SPECIAL = ("[pad]", "[bos]", "[unk]", "[eos]")


@dataclass(frozen=True)
class Recipe:
    """Training settings of the base model."""

    scenes: int = 4000
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    seed: int = 7


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per lower-case word of the demo's captions, between a begin and an end token."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[bos] $A [eos]", special_tokens=[(each, vocabulary[each]) for each in ("[bos]", "[eos]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=TOKENS,
        pad_token="[pad]",
        bos_token="[bos]",
        unk_token="[unk]",
        eos_token="[eos]",
    )


def image_processor() -> CLIPImageProcessorPil:
    """An image processor for squares of 48 pixels, with values from -1 to 1."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def untrained(tokens: PreTrainedTokenizerFast, seed: int) -> CLIPModel:
    """Make the tiny CLIP with random weights."""
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **size,
        "vocab_size": len(tokens),
        "max_position_embeddings": TOKENS,
        "pad_token_id": tokens.pad_token_id,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
    }
    vision = {**size, "image_size": SIDE, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def sample(count: int, seed: int) -> tuple[torch.Tensor, list[list[str]]]:
    """Draw unrelated scenes outside the data set: pictures, uint8 [count, 3, 48, 48], and five captions for each."""
    train, val = split()
    pictures, texts = [], []
    for i, scene in enumerate(unrelated(count, random.Random(f"{seed}/base"), {*train, *val}, KNOWN_KINDS, UNKNOWN)):
        rng = random.Random(f"{seed}/base/{i}")
        pictures.append(torch.frombuffer(bytearray(draw(scene, rng).tobytes()), dtype=torch.uint8))
        texts.append(captions(scene, rng))
    return torch.stack(pictures).view(count, SIDE, SIDE, 3).permute(0, 3, 1, 2), texts


def train(recipe: Recipe) -> tuple[CLIPModel, PreTrainedTokenizerFast]:
    """Train the base model from random weights; deterministic for a recipe on the same machine."""
    tokens = tokenizer()
    pictures, texts = sample(recipe.scenes, recipe.seed)
    ids = torch.stack([tokens(each, padding="max_length", return_tensors="pt")["input_ids"] for each in texts])
    model = untrained(tokens, recipe.seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = get_scheduler("cosine", optimizer, recipe.warmup_steps, recipe.steps)
    draws = torch.Generator().manual_seed(recipe.seed)
    start = time.perf_counter()
    for step in range(recipe.steps):
        rows = torch.randperm(len(ids), generator=draws)[: recipe.batch_size]
        columns = torch.randint(ids.shape[1], rows.shape, generator=draws)
        loss = contrastive_loss(model, pictures[rows], ids[rows, columns])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step:5d}  loss {loss.item():.3f}  {time.perf_counter() - start:5.0f} s")
    return model.eval(), tokens


def contrastive_loss(model: CLIPModel, pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE of uint8 pictures [N, 3, 48, 48] and token ids [N, tokens]."""
    ids = ids[:, : int(ids.ne(0).sum(1).max())]  # [pad] is 0
    image = normalize(model.get_image_features(pictures / 127.5 - 1).pooler_output)
    text = normalize(model.get_text_features(ids).pooler_output)
    return clip_loss(image, text, model.logit_scale.exp())


def make_base(folder: Path = BASE, recipe: Recipe | None = None) -> Path:
    """Train the base model and write it as an ordinary Hugging Face folder, with weights in fp16.

    It trains on one thread, because the number of threads changes sums in the last bit.
    """
    torch.set_num_threads(1)
    model, tokens = train(recipe or Recipe())
    model.half().save_pretrained(folder)
    tokens.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder
