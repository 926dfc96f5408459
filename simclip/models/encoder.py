"""Encoder: embeddings of many images or captions, computed by all workers together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from simclip.data.images import Pictures, normalised
from simclip.data.tokens import ALIGNED, Tokens
from simclip.models.clip import Clip, embed_images, embed_texts
from simclip.runtime.device import Compute
from simclip.runtime.prefetch import prefetch
from simclip.runtime.workers import Workers

#: Maximum number of items per forward pass on a CPU, so that activations stay in its cache.
CPU_BLOCK = 128
#: Number of embeddings on the device before they move to main memory: few copies, little memory.
MOVED_ROWS = 16384


@dataclass(frozen=True)
class Encoder:
    """A model as a function from images and captions to unit embeddings.

    Attributes:
        clip: The model, on its device.
        compute: Device and precision.
        workers: All workers of the run; every one of them must make the same calls.
        batch_size: Number of pairs in a batch of the contrastive loss.
        data_workers: Number of decoding processes, for images that are not stored.
        at_a_time: Maximum number of items per forward pass; by default `batch_size`.
    """

    clip: Clip
    compute: Compute
    workers: Workers
    batch_size: int = 256
    data_workers: int = 0
    at_a_time: int | None = None

    def texts(self, tokens: Tokens, captions: np.ndarray, everywhere: bool = True) -> torch.Tensor:
        """Embed captions, sorted by length to avoid computing on padding.

        Args:
            tokens: Token ids of all captions.
            captions: int [n], the captions to embed.
            everywhere: Whether all workers need the result.

        Returns:
            float32 [n, d] on the CPU; on other workers than the first [0, d] if they do not need it.

        Raises:
            FloatingPointError: An embedding is not finite.
        """

        def embed(mine: np.ndarray) -> Iterator[torch.Tensor]:
            for part in self._blocks(captions[mine]):
                ids, mask = tokens.batch(part, 1 if self.compute.device.type == "cpu" else ALIGNED)
                yield embed_texts(self.clip.model, ids.to(self.compute.device), mask.to(self.compute.device))

        order = np.argsort(tokens.lengths[captions], kind="stable")
        embedded = self._shared(order, embed, everywhere)
        return embedded[torch.from_numpy(np.argsort(order))] if len(embedded) else embedded

    def images(self, pictures: Pictures, rows: np.ndarray | int, everywhere: bool = True) -> torch.Tensor:
        """Embed images, which have the model's own size.

        Args:
            pictures: The images.
            rows: int [n], the rows to embed, or the number of rows from the first on.
            everywhere: Whether all workers need the result.

        Returns:
            float32 [n, d] on the CPU; on other workers than the first [0, d] if they do not need it.

        Raises:
            FloatingPointError: An embedding is not finite.
        """

        def embed(mine: np.ndarray) -> Iterator[torch.Tensor]:
            on_cuda = self.compute.device.type == "cuda"
            batches = pictures.batches(self._blocks(mine), self.data_workers, pin=on_cuda)
            with closing(prefetch(batches)) as ready:
                for pixels in ready:
                    moved = pixels.to(self.compute.device, non_blocking=True)
                    yield embed_images(self.clip.model, normalised(moved, self.clip.mean, self.clip.std))

        return self._shared(np.arange(rows) if isinstance(rows, int) else rows, embed, everywhere)

    @torch.inference_mode()
    def _shared(
        self, items: np.ndarray, embed: Callable[[np.ndarray], Iterator[torch.Tensor]], everywhere: bool
    ) -> torch.Tensor:
        """Embed an equal part on each worker (wrapping around at the end), and gather the whole in main memory.

        Raises:
            FloatingPointError: An embedding is not finite.
        """
        each = -(-len(items) // self.workers.size)
        mine = np.resize(items, each * self.workers.size)[self.workers.rank * each :][:each]
        was_training = self.clip.model.training
        self.clip.model.eval()
        with self.compute.autocast():
            local = _on_host(embed(mine), each)
        self.clip.model.train(was_training)
        if not all(torch.isfinite(part).all() for part in local.split(MOVED_ROWS)):  # of the whole takes much memory
            raise FloatingPointError("the model's embeddings are not finite: lower the learning rate")
        return self.workers.gather_on_host(local, everywhere)[: len(items)]

    def _blocks(self, items: np.ndarray) -> Iterator[np.ndarray]:
        most = self.at_a_time or self.batch_size
        size = min(most, CPU_BLOCK) if self.compute.device.type == "cpu" else most
        for begin in range(0, len(items), size):
            yield items[begin : begin + size]


def _on_host(parts: Iterator[torch.Tensor], rows: int) -> torch.Tensor:
    """Concatenate parts [n, d] to [rows, d] in main memory; the device holds about MOVED_ROWS of them at a time."""
    moved, waiting, begin = torch.empty(0), [], 0
    for part in parts:
        waiting.append(part)
        count = sum(map(len, waiting))
        if count >= MOVED_ROWS or begin + count == rows:
            if begin == 0:
                moved = torch.empty(rows, part.shape[1], dtype=part.dtype)
            moved[begin : begin + count] = torch.cat(waiting)
            waiting, begin = [], begin + count
    return moved
