"""The embeddings that similarity is measured on: of texts or images, refreshed each epoch or made once."""

from __future__ import annotations

import numpy as np

from simclip.clusters.neighbours import ListedNeighbours, Neighbours
from simclip.clusters.plan import Recipe
from simclip.config.training import TrainConfig
from simclip.data.training_set import TrainingData
from simclip.models.encoder import Encoder
from simclip.runtime.cache import cached_array, file_stamps, fingerprint

OFFLINE_SEED = 0


def similarity_embeddings(config: TrainConfig, data: TrainingData, encoder: Encoder, epoch: int) -> np.ndarray:
    """float32 [rows, d], unit embeddings of every training row with the encoder's present weights.

    Text: the caption that the row has in this epoch. Image: the picture without augmentation.
    """
    if config.similarity == "image":
        return encoder.images(data.whole, len(data)).numpy()
    return encoder.texts(data.tokens, data.drawn_captions(config.seed, epoch, np.arange(len(data)))).numpy()


def offline_embeddings(config: TrainConfig, data: TrainingData, encoder: Encoder) -> np.ndarray:
    """The same once for all epochs, by the initial model, with captions drawn under seed 0.

    Equal for every trial of a study that starts from the same weights, so it is kept on disk under a key of the model,
    captions or images, modality and precision.
    """
    compute = encoder.compute
    if config.similarity == "image":
        source = file_stamps(data.table.images)
    else:
        source = data.tokens.ids.tobytes() + data.table.starts.tobytes()
    kind = f"{config.similarity} {compute.dtype}".encode()
    key = fingerprint(encoder.clip.identity().encode(), source, kind)
    fixed = config.model_copy(update={"seed": OFFLINE_SEED})
    anyone = encoder.workers.agreed(compute.device)
    return cached_array("similarity", key, lambda: similarity_embeddings(fixed, data, encoder, epoch=0), anyone)


def offline_neighbours(config: TrainConfig, data: TrainingData, encoder: Encoder, iterations: int) -> Neighbours:
    """The neighbours that hold for all epochs.

    A run that would rank as many anchors as there are rows ranks every row once instead; the lists are kept on disk for
    all trials that ask for as many neighbours.

    Args:
        config: The run.
        data: Its training pairs.
        encoder: With the initial weights.
        iterations: Batches of an epoch.
    """
    embeddings = offline_embeddings(config, data, encoder)
    neighbours = Neighbours(embeddings, config.max_similarity, encoder.compute.device)
    recipe = Recipe(config.batch_size, max(config.proportion_by_epoch), config.cluster_size)
    anchors = config.epochs * iterations * len(recipe.cluster_sizes)
    if anchors < len(data) or not encoder.workers.is_first:
        return neighbours
    count = config.neighborhood * (config.cluster_size - 1)
    key = fingerprint(embeddings.tobytes(), repr((count, config.max_similarity)).encode())
    lists = cached_array("neighbours", key, lambda: neighbours.lists(count))
    return ListedNeighbours(embeddings, lists, config.max_similarity)
