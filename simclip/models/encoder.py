"""Embeddings of many images or captions, each encoded once, the work shared by the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from simclip.data.images import Pictures, normalised
from simclip.data.tokens import Tokens
from simclip.models.clip import Clip, embed_images, embed_texts
from simclip.runtime.device import Compute
from simclip.runtime.prefetch import prefetch
from simclip.runtime.workers import Workers

#: Items at a time on a CPU, at most: what lies between the layers stays in its cache.
CPU_BLOCK = 128


@dataclass(frozen=True)
class Encoder:
    """A model as a function from images and captions to unit embeddings.

    Attributes:
        batch_size: Items at a time, at most.
        data_workers: Image decoding processes, where images are not stored.
    """

    clip: Clip
    compute: Compute
    workers: Workers
    batch_size: int = 256
    data_workers: int = 0

    def texts(self, tokens: Tokens, captions: np.ndarray) -> torch.Tensor:
        """Embed captions, sorted by length so that hardly any padding is computed.

        Args:
            tokens: Token ids of all captions.
            captions: int [n], which of them.

        Returns:
            float32 [n, d] on the CPU.
        """

        def embed(mine: np.ndarray) -> Iterator[torch.Tensor]:
            for part in self._blocks(captions[mine]):
                ids, mask = tokens.batch(part)
                yield embed_texts(self.clip.model, ids.to(self.compute.device), mask.to(self.compute.device))

        order = np.argsort(tokens.lengths[captions], kind="stable")
        return self._shared(order, embed)[torch.from_numpy(np.argsort(order))]

    def images(self, pictures: Pictures, rows: np.ndarray | int) -> torch.Tensor:
        """Embed pictures; they are of the model's own size.

        Args:
            pictures: Some of them are embedded.
            rows: int [n], which; a number stands for so many from the first on.

        Returns:
            float32 [n, d] on the CPU.
        """

        def embed(mine: np.ndarray) -> Iterator[torch.Tensor]:
            on_cuda = self.compute.device.type == "cuda"
            batches = pictures.batches(self._blocks(mine), self.data_workers, pin=on_cuda)
            with closing(prefetch(batches)) as ready:
                for pixels in ready:
                    moved = pixels.to(self.compute.device, non_blocking=True)
                    yield embed_images(self.clip.model, normalised(moved, self.clip.mean, self.clip.std))

        return self._shared(np.arange(rows) if isinstance(rows, int) else rows, embed)

    @torch.inference_mode()
    def _shared(self, items: np.ndarray, embed: Callable[[np.ndarray], Iterator[torch.Tensor]]) -> torch.Tensor:
        """Each worker embeds an equal part (the last ones wrap around); all of them get the whole."""
        each = -(-len(items) // self.workers.size)
        mine = np.resize(items, each * self.workers.size)[self.workers.rank * each :][:each]
        was_training = self.clip.model.training
        self.clip.model.eval()
        with self.compute.autocast():
            local = torch.cat(list(embed(mine)))
        self.clip.model.train(was_training)
        if not torch.isfinite(local).all():
            raise FloatingPointError("the model's embeddings are not finite: lower the learning rate")
        return self.workers.gather(local)[: len(items)].cpu()

    def _blocks(self, items: np.ndarray) -> Iterator[np.ndarray]:
        size = min(self.batch_size, CPU_BLOCK) if self.compute.device.type == "cpu" else self.batch_size
        for begin in range(0, len(items), size):
            yield items[begin : begin + size]
