"""An encoder that remembers: what several evaluation sets have in common is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
import torch

from simclip.data.images import Pictures
from simclip.data.tokens import Tokens
from simclip.models.encoder import Encoder


class EncodedOnce:
    """An encoder for the time of one evaluation, of pictures that are all cropped alike.

    An image is known by its file, a caption by its token ids.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.clip, self.batch_size, self._encoder = encoder.clip, encoder.batch_size, encoder
        self._images, self._texts = _Known(), _Known()

    def images(self, pictures: Pictures, rows: np.ndarray | int) -> torch.Tensor:
        """See `Encoder.images`."""
        items = np.arange(rows) if isinstance(rows, int) else rows
        files = (pictures.paths[int(row)] for row in items)
        return self._images.embeddings(items, files, lambda new: self._encoder.images(pictures, new))

    def texts(self, tokens: Tokens, captions: np.ndarray) -> torch.Tensor:
        """See `Encoder.texts`."""
        ids = (tokens.ids[tokens.starts[each] : tokens.starts[each + 1]].tobytes() for each in captions)
        return self._texts.embeddings(captions, ids, lambda new: self._encoder.texts(tokens, new))


class _Known:
    """Embeddings by key."""

    def __init__(self) -> None:
        self._row: dict[Hashable, int] = {}
        self._parts: list[torch.Tensor] = []

    def embeddings(
        self, items: np.ndarray, keys: Iterable[Hashable], encode: Callable[[np.ndarray], torch.Tensor]
    ) -> torch.Tensor:
        """Of items with these keys; those that are new are encoded."""
        new, rows = [], []
        for item, key in zip(items, keys, strict=True):
            if key not in self._row:
                self._row[key] = len(self._row)
                new.append(item)
            rows.append(self._row[key])
        if new:
            self._parts = [torch.cat([*self._parts, encode(np.array(new))])]
        return self._parts[0][torch.tensor(rows)]
