"""CachingEncoder: images and texts that several evaluation sets share are encoded once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
import torch

from simclip.data.images import Pictures
from simclip.data.tokens import Tokens
from simclip.models.encoder import Encoder


class CachingEncoder:
    """An encoder for one evaluation, in which all images have the same transform.

    Images are identified by their file, captions by their token ids.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.clip, self.batch_size, self.workers = encoder.clip, encoder.batch_size, encoder.workers
        self._encoder = encoder
        self._images, self._texts = _Cache(), _Cache()

    def images(self, pictures: Pictures, rows: np.ndarray | int) -> torch.Tensor:
        """See `Encoder.images`."""
        items = np.arange(rows) if isinstance(rows, int) else rows
        files = (pictures.paths[int(row)] for row in items)
        return self._images.embeddings(items, files, lambda new: self._encoder.images(pictures, new))

    def texts(self, tokens: Tokens, captions: np.ndarray) -> torch.Tensor:
        """See `Encoder.texts`."""
        ids = (tokens.ids[tokens.starts[each] : tokens.starts[each + 1]].tobytes() for each in captions)
        return self._texts.embeddings(captions, ids, lambda new: self._encoder.texts(tokens, new))


class _Cache:
    """Embeddings by key, on the CPU."""

    def __init__(self) -> None:
        self._row: dict[Hashable, int] = {}
        self._parts: list[torch.Tensor] = []

    def embeddings(
        self, items: np.ndarray, keys: Iterable[Hashable], encode: Callable[[np.ndarray], torch.Tensor]
    ) -> torch.Tensor:
        """The embeddings of the items, float32 [n, d]; items whose key is new are encoded."""
        new, rows = [], []
        for item, key in zip(items, keys, strict=True):
            if key not in self._row:
                self._row[key] = len(self._row)
                new.append(item)
            rows.append(self._row[key])
        if new:
            self._parts = [torch.cat([*self._parts, encode(np.array(new))])]
        return self._parts[0][torch.tensor(rows)]
