"""Retrieval: recall at k in both directions and the loss, over all captions of every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simclip.config.schema import Place
from simclip.data.table import KNOWN, Reading
from simclip.evaluation.evaluation_set import Embeddings, EvaluationSet, SetContents

if TYPE_CHECKING:
    from torch import Tensor

#: Ranks at which recall is reported.
KS = (1, 5, 10, 50, 200)


class RetrievalSet(EvaluationSet):
    """Image-caption pairs, scored by recall at k in both directions and by the contrastive loss."""

    metrics: ClassVar[tuple[str, ...]] = (
        "mean_r1",
        *(f"{direction}_r{k}" for direction in ("t2i", "i2t") for k in KS),
        "loss",
    )
    losses: ClassVar[tuple[str, ...]] = ("loss",)

    kind: Literal["retrieval"] = "retrieval"
    tsv: Place = Field(description="pairs: TSV, CSV, JSONL, Parquet or tar shards")

    def read(self, reading: Reading = KNOWN) -> SetContents:
        """The targets are the image of each caption, [captions]; rows that repeat an image are merged."""
        from simclip.data.pair_table import read_table

        table = read_table(self.tsv, self.image_dir, reading._replace(skip_bad=False))
        return SetContents(table.images, table.captions, table.row_of_caption, self.metrics, table.notes)

    def scores(self, embeddings: Embeddings) -> dict[str, float]:
        """Recalls and loss over all captions."""
        images, captions, image_of_caption = embeddings.images, embeddings.texts, embeddings.targets
        return {
            **recall_metrics(images, captions, image_of_caption, ranking=embeddings.ranks),
            "loss": mean_loss(images, captions, image_of_caption, embeddings.loss, embeddings.batch_size),
        }

    def highlights(self, reported: Sequence[str]) -> list[str]:
        """Recall at 1, and at 5 in each direction."""
        return [name for name in self.qualified(("mean_r1", "t2i_r5", "i2t_r5")) if name in reported]


def recall_metrics(
    images: Tensor,
    captions: Tensor,
    image_of_caption: Tensor,
    ks: Sequence[int] = KS,
    ranking: Callable[..., Tensor] | None = None,
) -> dict[str, float]:
    """Recall at k from text to image and from image to text, by clip_benchmark's conventions.

    Text to image is the share of captions whose image is among the k best. Image to text is the share of images with at
    least one own caption among the k best. With at most k candidates, recall is 1.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        captions: float32 [m, d], L2-normalised.
        image_of_caption: int64 [m], the row of each caption's image, in any order; every image has a caption.
        ks: Positive numbers.
        ranking: Ranks queries among candidates; by default `ranks` with this worker alone.

    Returns:
        `t2i_r{k}` and `i2t_r{k}` for every k, and `mean_r1`, the mean of both recalls at 1; all in [0, 1].
    """
    import torch

    from simclip.evaluation.items import Share
    from simclip.evaluation.ranks import ranks, within

    ranking = ranking or ranks
    rows = torch.arange(len(images), device=images.device)
    image_ranks = ranking(captions, images, lambda block: image_of_caption[block, None] == rows)
    caption_ranks = ranking(images, captions, lambda block: block[:, None] == image_of_caption)
    of_captions, of_images = image_of_caption.cpu().numpy(), rows.cpu().numpy()
    text_to_image = {k: within(image_ranks, k, len(images), of_captions) for k in {1, *ks}}
    image_to_text = {k: within(caption_ranks, k, len(captions), of_images) for k in {1, *ks}}
    return {
        **{f"t2i_r{k}": Share(text_to_image[k]) for k in ks},
        **{f"i2t_r{k}": Share(image_to_text[k]) for k in ks},
        "mean_r1": Share(text_to_image[1], image_to_text[1]),
    }


def mean_loss(
    images: Tensor,
    captions: Tensor,
    image_of_caption: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch_size: int,
) -> float:
    """The model's loss over batches of image-caption pairs, using every caption once: the mean over the pairs.

    A batch never has the same image twice, because its second caption would count as wrong. So the first pass takes the
    first caption of every image, the second pass the second caption of those that have one, and so on. Each pass is
    split into batches of nearly equal size, because a small last batch would be easy.

    Args:
        images: float32 [n, d], L2-normalised.
        captions: float32 [m, d], L2-normalised.
        image_of_caption: int64 [m], the row of each caption's image.
        loss: The loss of a batch, from its images and captions [n, d].
        batch_size: Maximum number of pairs in a batch.
    """
    total = 0.0
    for pairs in _pair_batches(image_of_caption, batch_size):
        total += loss(images[image_of_caption[pairs]], captions[pairs]).item() * len(pairs)
    return total / len(captions)


def _pair_batches(image_of_caption: Tensor, batch_size: int) -> Iterator[Tensor]:
    import torch

    by_image = image_of_caption.argsort(stable=True)
    counts = image_of_caption.bincount()
    starts = counts.cumsum(0) - counts
    slot = torch.arange(len(by_image), device=by_image.device) - starts[image_of_caption[by_image]]
    for number in range(int(counts.max())):
        pairs = by_image[slot == number]
        yield from pairs.tensor_split(-(-len(pairs) // batch_size))
