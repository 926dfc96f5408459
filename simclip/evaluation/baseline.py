"""Scores of the model before any training: the same for every trial that starts from it, so computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from simclip.config.training import TrainConfig
from simclip.evaluation.sets import LoadedSet
from simclip.models.encoder import Encoder
from simclip.runtime.cache import cached_array, file_stamps, fingerprint


def untouched_scores(
    config: TrainConfig,
    sets: Sequence[LoadedSet],
    encoder: Encoder,
    evaluate: Callable[[], dict[str, float]],
) -> dict[str, float]:
    """Every metric of every set, kept on disk under all that decides them to the last bit.

    Args:
        config: The run.
        sets: Its evaluation sets.
        encoder: With the initial weights.
        evaluate: Computes the metrics where they are not known yet.
    """
    names, compute = [name for each in sets for name in each.metric_names], encoder.compute
    setting = (names, str(compute), torch.get_num_threads(), torch.__version__, config.val_batch_size,
               encoder.workers.size)  # fmt: skip
    parts = [part for each in sets for part in _content(each)]
    key = fingerprint(encoder.clip.identity().encode(), repr(setting).encode(), *parts)

    def values() -> np.ndarray:
        scores = evaluate()
        return np.array([scores[name] for name in names])

    anyone = encoder.workers.agreed(compute.device)
    return dict(zip(names, cached_array("untouched", key, values, anyone).tolist(), strict=True))


def _content(each: LoadedSet) -> list[bytes]:
    """What a set consists of: its pictures, its token ids, and what belongs to what."""
    tokens = each.tokens
    return [file_stamps(each.images.paths), tokens.ids.tobytes(), tokens.starts.tobytes(), each.links.tobytes()]
