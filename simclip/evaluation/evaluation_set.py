"""EvaluationSet: the interface that every kind of evaluation set implements."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from simclip.config.schema import Strict
from simclip.data.picture import Picture
from simclip.data.table import KNOWN, Reading

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class SetContents:
    """The checked contents of an evaluation set's files.

    Attributes:
        images: Every image.
        texts: Captions or prompts.
        targets: int64, which images and texts belong together; each kind has its own encoding.
        metrics: Names of the metrics, the main one first.
        notes: A line about each file whose rows were merged.
    """

    images: Sequence[Picture]
    texts: Sequence[str]
    targets: np.ndarray
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Embeddings:
    """A model's embeddings of an evaluation set; all tensors are on the model's device.

    Attributes:
        images: float32 [images, d], L2-normalised.
        texts: float32 [texts, d], L2-normalised.
        targets: int64, from the set's contents.
        metrics: Names of the metrics, from the set's contents.
        loss: The model's loss of a batch of pairs, from their images and texts [n, d].
        batch_size: Number of pairs in a batch of the loss.
        ranks: Ranks queries among candidates, with all workers of the run together (see `ranks.ranks`).
    """

    images: Tensor
    texts: Tensor
    targets: Tensor
    metrics: tuple[str, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    batch_size: int
    ranks: Callable[[Tensor, Tensor, Callable[[Tensor], Tensor]], Tensor]


class EvaluationSet(Strict):
    """Base class of the kinds of evaluation sets: fields in the study file, files, metrics and scores.

    A kind sets `kind` to its literal and `metrics` to the names of its metrics, and implements `read` and `scores`.
    Study files are read without torch: modules of kinds import it inside of the functions that compute.
    """

    #: Names of the metrics that every set of this kind reports, the main one first.
    metrics: ClassVar[tuple[str, ...]]
    #: Metrics that are losses, which are minimised. All others are shares between 0 and 1, written in percent; they
    #: are maximised.
    losses: ClassVar[tuple[str, ...]] = ()

    kind: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    image_dir: Path | None = None
    every: Annotated[int, Field(ge=1)] = Field(
        1, description="epochs from one evaluation to the next; the best and last have one"
    )

    @abstractmethod
    def read(self, reading: Reading = KNOWN) -> SetContents:
        """Read and check every file of the set; images are looked for but not decoded.

        Args:
            reading: Which columns of tables are read.

        Raises:
            InputError: A file, folder or image is missing or wrong.
        """

    @abstractmethod
    def scores(self, embeddings: Embeddings) -> dict[str, float]:
        """The value of each metric; a share of items as a `Share`, which keeps which of them were right."""

    def reports(self, metric: str) -> bool:
        """Whether the set may report a metric; a kind whose files add metrics answers without reading them."""
        return metric in self.metrics

    def metric_names(self) -> list[str]:
        """Names of all metrics, as <set>/<metric>; a kind whose files add metrics reads them.

        Raises:
            InputError: A file is missing or wrong.
        """
        return self.qualified(self.metrics)

    def qualified(self, metrics: Sequence[str]) -> list[str]:
        """Metrics as <set>/<metric>."""
        return [f"{self.name}/{metric}" for metric in metrics]

    def highlights(self, reported: Sequence[str]) -> list[str]:
        """The metrics to compare with the base model in the report's plot, as <set>/<metric>.

        Args:
            reported: Names of all metrics that the set reported, as <set>/<metric>.
        """
        return [name for name in self.qualified(self.metrics) if name in reported]
