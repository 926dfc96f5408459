"""Caption pairs: does the model prefer the true captions of an image to a false one?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from simclip.data.table import KNOWN, Reading
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import Embeddings, EvaluationSet, SetContents

if TYPE_CHECKING:
    from torch import Tensor

#: With more categories than this, the report's plot of gains shows the accuracy alone.
MAX_PLOTTED_CATEGORIES = 8


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


class PairsSet(EvaluationSet):
    """Images with true captions and a false one each, scored by how often each true one is more similar to the image.

    If the files have several categories, the accuracy of each is a metric too.
    """

    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    kind: Literal["pairs"] = "pairs"
    image_dir: Path
    files: Annotated[list[Path], BeforeValidator(_as_list)] = Field(
        min_length=1,
        description="TSVs (image, caption, negative_caption, category), the JSON of SugarCrepe(++), or its folder",
    )

    def read(self, reading: Reading = KNOWN) -> SetContents:
        """The texts are all true captions, second true ones if there are any, and all false ones, in this order.

        The targets are the category of each image, [images].

        Raises:
            InputError: A file or image is missing or wrong, or a category has the name of a metric.
        """
        import numpy as np

        from simclip.data.caption_pairs import read_caption_pairs

        where = f"evaluation set {self.name!r}"
        try:
            pairs = read_caption_pairs(self.files, self.image_dir)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        names = pairs.category_names
        reserved = {metric for kind in EvaluationSet.__subclasses__() for metric in kind.metrics}
        if taken := [name for name in names if name in reserved]:
            raise InputError(f"{where}: category {taken[0]!r} is a metric's name: choose another")
        categories = np.array([names.index(category) for category in pairs.categories])
        metrics = (*self.metrics, *(names if len(names) > 1 else ()))
        seconds = pairs.seconds if pairs.seconds != pairs.captions else []
        return SetContents(pairs.images, [*pairs.captions, *seconds, *pairs.negatives], categories, metrics)

    def scores(self, embeddings: Embeddings) -> dict[str, float]:
        """Accuracy, over all and by category."""
        *true, false = embeddings.texts.split(len(embeddings.images))
        return pair_metrics(embeddings.images, true, false, embeddings.targets, embeddings.metrics[1:])

    def reports(self, metric: str) -> bool:
        """Any metric may be a category of the files."""
        return True

    def metric_names(self) -> list[str]:
        """The accuracy and, if there are several, the categories of the files."""
        return self.qualified(self.read().metrics)

    def highlights(self, reported: Sequence[str]) -> list[str]:
        """The accuracy, and the categories unless they are many."""
        names = [name for name in reported if name.startswith(f"{self.name}/")]
        return names if len(names) <= 1 + MAX_PLOTTED_CATEGORIES else super().highlights(reported)


def pair_metrics(
    images: Tensor, captions: Sequence[Tensor], negatives: Tensor, category: Tensor, names: Sequence[str]
) -> dict[str, float]:
    """Share of rows whose true captions are each strictly more similar to the image than the false one.

    Scored like SugarCrepe and ARO: a tie is wrong, so a model that cannot tell the captions apart scores 0, and the
    overall accuracy is the mean over categories, independent of their sizes. (clip_benchmark counts a tie as right, and
    ARO leaves out attributes with fewer than 25 rows.) A score that is NaN is wrong.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        captions: float32 [n, d] each, the first true captions and perhaps the second ones, L2-normalised.
        negatives: float32 [n, d], the false captions, L2-normalised.
        category: int64 [n], the category of each row, an index into `names`; each category has a row.
        names: Names of the categories; empty if there is only one.

    Returns:
        `accuracy`, and the accuracy of each category by its name; all in [0, 1].
    """
    import numpy as np
    import torch

    from simclip.evaluation.items import Items, Share

    false = (images * negatives).sum(1)
    wins = torch.stack([(images * true).sum(1) > false for true in captions])
    right = wins.all(0).cpu().numpy()
    rows, categories = np.arange(len(right)), category.cpu().numpy()
    parts = [Items(right[categories == number], rows[categories == number]) for number in range(len(names))]
    shares = {name: Share(part) for name, part in zip(names, parts, strict=True)}
    return {"accuracy": Share(*parts) if parts else Share(Items(right, rows)), **shares}
