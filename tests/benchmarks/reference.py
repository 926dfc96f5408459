"""The original's way of each step, written anew and plainly: what ours is measured against.

Nothing here is shared with the project, so that the two can also be compared for what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

TOKENS = 77  # every caption is padded to it


def cosines(anchor: int, embeddings: torch.Tensor) -> torch.Tensor:
    """float32 [rows], of one row with all of them."""
    return F.normalize(embeddings[anchor], dim=0) @ F.normalize(embeddings, dim=1).T


def grow_clusters(embeddings: torch.Tensor, anchors: Iterable[int], size: int) -> list[list[int]]:
    """Clusters of a batch, one after the other: each ranks all rows by cosine and takes the first that are free.

    Args:
        embeddings: float32 [rows, d].
        anchors: Candidates in order; those that stand in the batch already are passed over.
        size: Rows of a cluster.
    """
    taken: set[int] = set()
    clusters = []
    for anchor in anchors:
        if anchor in taken:
            continue
        taken.add(anchor)
        ranking = cosines(anchor, embeddings).argsort(descending=True).numpy()
        cluster = [anchor]
        for row in map(int, ranking):
            if len(cluster) == size:
                break
            if row not in taken:
                cluster.append(row)
                taken.add(row)
        clusters.append(cluster)
    return clusters


def training_item(
    path: Path, random: np.random.Generator, squash: int, size: int, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """float32 [3, size, size]: decoded whole, squashed, cropped at random, normalised, all for one picture alone."""
    with Image.open(path) as image:
        square = image.convert("RGB").resize((squash, squash), Image.Resampling.BICUBIC)
    box = _random_box(random, squash)
    return _to_tensor(square.crop(box).resize((size, size), Image.Resampling.BILINEAR), mean, std)


def evaluation_item(path: Path, size: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """float32 [3, size, size]: the shorter side resized, the middle cut out, normalised."""
    with Image.open(path) as image:
        image = image.convert("RGB")
    width, height = (side * size // min(image.size) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return _to_tensor(resized.crop((left, top, left + size, top + size)), mean, std)


def padded(tokenizer: Any, captions: Sequence[str], tokens: int = TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, int64 [n, tokens]."""
    batch = tokenizer(list(captions), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def refresh(
    model: Any, tokenizer: Any, captions: Sequence[str], item: Callable[[int], torch.Tensor], batch_size: int,
    tokens: int = TOKENS,
) -> torch.Tensor:  # fmt: skip
    """float32 [n, d], text embeddings of training rows; their loader brings the picture of every row along.

    Args:
        model: A CLIP.
        tokenizer: Its.
        captions: One of each row.
        item: The training item's picture of a row.
        batch_size: Rows at a time.
        tokens: Of a padded caption.
    """
    embeddings = []
    for rows in _blocks(range(len(captions)), batch_size):
        torch.stack([item(row) for row in rows])  # comes with the batch, and is not looked at
        embeddings.append(embed_texts(model, *padded(tokenizer, [captions[row] for row in rows], tokens)))
    return torch.cat(embeddings)


@torch.inference_mode()
def embed_texts(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """float32 [n, d], rows of length 1."""
    return F.normalize(model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output, dim=-1)


@torch.inference_mode()
def embed_images(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """float32 [n, d], rows of length 1."""
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)


def evaluate(
    model: Any, tokenizer: Any, columns: Sequence[Sequence[str]], item: Callable[[int], torch.Tensor],
    batch_size: int, ks: Sequence[int] = (1, 5, 10), tokens: int = TOKENS,
) -> dict[str, float]:  # fmt: skip
    """Loss and recalls: one pass over the images and first captions for the loss, another over everything for recall.

    Args:
        model: A CLIP.
        tokenizer: Its.
        columns: The captions, column by column, each with one caption per image.
        item: The evaluation item's picture of an image.
        batch_size: Rows at a time.
        ks: Recall at which places.
        tokens: Of a padded caption.
    """
    rows = range(len(columns[0]))
    losses = []
    for block in _blocks(rows, batch_size):
        images = embed_images(model, torch.stack([item(row) for row in block]))
        texts = embed_texts(model, *padded(tokenizer, [columns[0][row] for row in block], tokens))
        logits = model.logit_scale.exp().detach() * images @ texts.T
        right = torch.arange(len(block))
        losses.append((F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2)
    images = torch.cat([embed_images(model, torch.stack([item(row) for row in block]))
                        for block in _blocks(rows, batch_size)])  # fmt: skip
    texts = torch.cat([
        embed_texts(model, *padded(tokenizer, [column[row] for row in block], tokens))
        for column in columns for block in _blocks(rows, batch_size)
    ])  # fmt: skip
    return {"loss": torch.stack(losses).mean().item(), **recalls(images, texts, ks)}


def recalls(images: torch.Tensor, texts: torch.Tensor, ks: Sequence[int]) -> dict[str, float]:
    """By sorting everything. Caption i belongs to image i modulo the number of images."""
    owner = torch.arange(len(texts)) % len(images)
    by_text = (texts @ images.T).argsort(dim=1, descending=True) == owner[:, None]
    by_image = owner[(images @ texts.T).argsort(dim=1, descending=True)] == torch.arange(len(images))[:, None]
    both = {"t2i": by_text, "i2t": by_image}
    return {f"{way}_r{k}": hits[:, :k].any(dim=1).double().mean().item() for way, hits in both.items() for k in ks}


def _random_box(random: np.random.Generator, side: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of RandomResizedCrop: scale 0.8 to 1, aspect 3/4 to 4/3, the first of ten that fits."""
    for _ in range(10):
        area = side * side * random.uniform(0.8, 1.0)
        aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if width <= side and height <= side:
            left, top = random.integers(side - width + 1), random.integers(side - height + 1)
            return left, top, left + width, top + height
    return 0, 0, side, side


def _to_tensor(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _blocks(rows: range, size: int) -> Iterator[range]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
