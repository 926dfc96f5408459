"""Scores of the base model, before any training. Trials that start from the same model share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from simclip.data.picture_file import picture_stamps
from simclip.evaluation.sets import LoadedSet
from simclip.models.encoder import Encoder
from simclip.runtime.cache import cached_array, fingerprint


def base_scores(
    sets: Sequence[LoadedSet], encoder: Encoder, evaluate: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """The metrics of several sets, by <set>/<metric>, cached under everything that determines them to the last bit.

    Args:
        sets: The evaluation sets.
        encoder: Holds the initial weights.
        evaluate: Computes the metrics if they are not in the cache.
    """
    names, compute = [name for each in sets for name in each.metric_names], encoder.compute
    setting = (names, str(compute), torch.get_num_threads(), torch.__version__, encoder.batch_size,
               encoder.workers.size, *filter(None, [encoder.at_a_time]))  # fmt: skip
    parts = [part for each in sets for part in _content(each)]
    key = fingerprint(encoder.clip.identity().encode(), repr(setting).encode(), *parts)

    def values() -> np.ndarray:
        scores = evaluate()
        return np.array([scores[name] for name in names])

    any_worker = encoder.workers.any_on(compute.device)
    return dict(zip(names, cached_array("base", key, values, any_worker).tolist(), strict=True))


def _content(each: LoadedSet) -> list[bytes]:
    tokens = each.tokens
    return [
        picture_stamps(each.images.paths, each.exif), tokens.ids.tobytes(), tokens.starts.tobytes(),
        each.contents.targets.tobytes(),
    ]  # fmt: skip
