"""Similarity embeddings: of texts or images, refreshed in every epoch or computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simclip.clusters.margin import Margin
from simclip.clusters.neighbours import ListedNeighbours, Neighbours
from simclip.clusters.plan import Recipe
from simclip.data.picture_file import picture_stamps
from simclip.data.training_set import TrainingData
from simclip.models.encoder import Encoder
from simclip.runtime.cache import cached_array, fingerprint

OFFLINE_SEED = 0

Modality = Literal["text", "image"]


def similarity_embeddings(
    similarity: Modality, data: TrainingData, encoder: Encoder, seed: int, epoch: int, everywhere: bool = False
) -> np.ndarray:
    """Embed every training row with the encoder's current weights.

    Args:
        similarity: "text" embeds the caption that the row has in this epoch, "image" the image without augmentation.
        data: Training pairs.
        encoder: The model.
        seed: Seed of the run, which draws the captions.
        epoch: Epoch, counted from 0.
        everywhere: Whether all workers need the result, or only the first, which plans.

    Returns:
        float32 [rows, d], L2-normalised; [0, d] on workers that do not need it.
    """
    if similarity == "image":
        return encoder.images(data.whole, len(data), everywhere).numpy()
    return encoder.texts(data.tokens, data.drawn_captions(seed, epoch, np.arange(len(data))), everywhere).numpy()


def offline_embeddings(similarity: Modality, data: TrainingData, encoder: Encoder) -> np.ndarray:
    """Embed every training row once for all epochs, with captions drawn under seed 0.

    All trials that start from the same weights share the result: it is cached under a key of the model, captions or
    images, modality and precision.

    Args:
        similarity: Modality to embed.
        data: Training pairs.
        encoder: The model with its initial weights.

    Returns:
        float32 [rows, d], L2-normalised.
    """
    compute = encoder.compute
    if similarity == "image":
        source = picture_stamps(data.table.images, data.exif)
    else:
        source = data.tokens.ids.tobytes() + data.table.starts.tobytes()
    key = fingerprint(encoder.clip.identity().encode(), source, f"{similarity} {compute.dtype}".encode())

    def embed() -> np.ndarray:
        return similarity_embeddings(similarity, data, encoder, OFFLINE_SEED, epoch=0, everywhere=True)

    return cached_array("similarity", key, embed, encoder.workers.any_on(compute.device))


@dataclass(frozen=True)
class Limits:
    """Which rows are no neighbours of each other, however similar they are.

    Attributes:
        max_similarity: See `Neighbours`.
        skip_nearest: See `Neighbours`.
        relative_margin: Share of `Margin`, which needs the embeddings of images and captions both.
    """

    max_similarity: float | None = None
    skip_nearest: int = 0
    relative_margin: float | None = None


def online_neighbours(
    similarity: Modality, data: TrainingData, encoder: Encoder, seed: int, epoch: int, limits: Limits
) -> Neighbours | None:
    """The neighbours under the encoder's current weights, on the first worker, which plans; None on the others."""

    def embed(modality: Modality) -> np.ndarray:
        return similarity_embeddings(modality, data, encoder, seed, epoch)

    return _neighbours(similarity, encoder, limits, embed)


def offline_neighbours(
    similarity: Modality,
    data: TrainingData,
    encoder: Encoder,
    recipe: Recipe,
    batches: int,
    limits: Limits,
    lists: bool = True,
) -> Neighbours | None:
    """The neighbours for all epochs, on the first worker, which plans; None on the others.

    A run with at least as many anchors as rows ranks every row once instead, if lists serve its method; they are cached
    for all trials that need as many neighbours.

    Args:
        similarity: Modality to embed.
        data: Training pairs.
        encoder: The model with its initial weights.
        recipe: Batches with the largest proportion of the run.
        batches: Number of batches in the run.
        limits: Which rows are no neighbours.
        lists: Whether lists of every row's neighbours serve the method (see `Method`).
    """
    neighbours = _neighbours(similarity, encoder, limits, lambda each: offline_embeddings(each, data, encoder))
    if neighbours is None or not lists or batches * len(recipe.cluster_sizes) < len(data):
        return neighbours
    count = recipe.neighborhood * (recipe.cluster_size - 1)
    margin = neighbours.margin
    others = [margin.images.tobytes(), margin.texts.tobytes()] if margin else []
    key = fingerprint(neighbours.embeddings.tobytes(), repr((count, limits)).encode(), *others)
    found = cached_array("neighbours", key, lambda: neighbours.lists(count))
    return ListedNeighbours(
        neighbours.embeddings, found, limits.max_similarity, skip_nearest=limits.skip_nearest, margin=margin
    )


def _neighbours(
    similarity: Modality, encoder: Encoder, limits: Limits, embed: Callable[[Modality], np.ndarray]
) -> Neighbours | None:
    """Embed what similarity and limits need, with all workers; the neighbours on the first, None on the others."""
    similar, margin = embed(similarity), None
    if limits.relative_margin is not None:
        other = embed("image" if similarity == "text" else "text")
        images, texts = (other, similar) if similarity == "text" else (similar, other)
        margin = Margin(images, texts, limits.relative_margin)
    if not encoder.workers.is_first:
        return None
    return Neighbours(
        similar, limits.max_similarity, encoder.compute.device, skip_nearest=limits.skip_nearest, margin=margin
    )
