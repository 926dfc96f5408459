"""Peak memory on the card: of the loss, of a block of images and of captions, of recall, and of ranking neighbours."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from simclip.clusters.neighbours import _candidates
from simclip.clusters.similar_rows import BLOCK_ANCHORS
from simclip.evaluation.kinds.retrieval import recall_metrics
from simclip.models.clip import embed_images, embed_texts
from simclip.models.loss import clip_loss_of_rows
from tests.fake_cuda.count import Count
from tests.fake_cuda.step import architecture
from tests.fake_cuda.training import CARD, training_on_card


def loss(pairs: int, workers: int) -> int:
    """Beyond the embeddings, of one worker among several."""
    counts = (pairs // workers, pairs)
    mine, ours = ([torch.empty(n, 512, device=CARD, requires_grad=True) for _ in range(2)] for n in counts)
    with Count() as count:
        clip_loss_of_rows(*mine, *ours, 0, torch.empty((), device=CARD, requires_grad=True)).backward()
    return count.peak


def recall(images: int, captions: int) -> int:
    """In evaluation, beyond the embeddings."""
    whose = torch.empty(captions, dtype=torch.int64, device=CARD)
    with Count() as count:
        recall_metrics(torch.empty(images, 512, device=CARD), torch.empty(captions, 512, device=CARD), whose)
    return count.peak


def neighbours(rows: int) -> int:
    """Of a block of anchors in a refresh, beyond the embeddings."""
    embeddings = torch.empty(rows, 512, device=CARD)
    with Count() as count:
        _candidates(embeddings, embeddings, np.zeros(BLOCK_ANCHORS, dtype=np.int64), 31)
    return count.peak


def main() -> None:
    tensor: Any = torch.Tensor
    tensor.numpy = lambda fake: np.zeros(fake.shape)  # fake tensors have no data
    with FakeTensorMode(allow_non_fake_inputs=True):
        training = training_on_card(architecture("vit-b-32"), batch_size=256)
        model, peaks = training.clip.model, {"loss": loss(8192, 1), "loss_of_8": loss(8192, 8)}
        peaks |= {"recall": recall(5_000, 25_000), "neighbours": neighbours(600_000)}
        with torch.inference_mode(), training.compute.autocast():
            with Count() as count:
                embed_images(model, torch.empty(256, 3, 224, 224, device=CARD))
            peaks["images"] = count.peak
            ids, mask = (torch.empty(256, 77, dtype=torch.int64, device=CARD) for _ in range(2))
            with Count() as count:
                embed_texts(model, ids, mask)
            peaks["captions"], waits = count.peak, count.waits
    print(json.dumps({**peaks, "waits": waits}))


if __name__ == "__main__":
    main()
