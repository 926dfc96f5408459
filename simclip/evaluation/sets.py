"""Loading evaluation sets, and scoring a model on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch

from simclip.data.image_store import open_pictures
from simclip.data.images import Pictures
from simclip.data.input_format import InputFormat
from simclip.data.members import numbered
from simclip.data.picture_file import Exif, picture_notes
from simclip.data.table import KNOWN, Reading
from simclip.data.tokens import Tokens
from simclip.evaluation.evaluation_set import Embeddings, EvaluationSet, SetContents
from simclip.evaluation.items import Items, Share
from simclip.evaluation.ranks import ranks
from simclip.models.caching_encoder import CachingEncoder
from simclip.models.encoder import Encoder


@dataclass(frozen=True, eq=False)
class LoadedSet:
    """An evaluation set with its pictures and tokens.

    Attributes:
        source: The set in the study file.
        contents: What its files hold.
        images: Every image, cropped.
        tokens: Every caption or prompt.
        exif: Whether pictures are turned as their EXIF orientation says.
    """

    source: EvaluationSet
    contents: SetContents
    images: Pictures
    tokens: Tokens
    exif: Exif = "ignore"

    @property
    def notes(self) -> list[str]:
        """Lines about rows that were merged and pictures that were changed."""
        return [*self.contents.notes, *picture_notes(self.source.name, self.contents.images, self.exif)]

    @property
    def metric_names(self) -> list[str]:
        """Names of all metrics, as <set>/<metric>."""
        return self.source.qualified(self.contents.metrics)

    def score(self, encoder: Encoder | CachingEncoder) -> dict[str, float]:
        """The value of each metric, by <set>/<metric>; shares know the image of each of their items."""
        device = encoder.clip.model.device
        embeddings = Embeddings(
            images=encoder.images(self.images, len(self.images)).to(device),
            texts=encoder.texts(self.tokens, np.arange(len(self.tokens))).to(device),
            targets=torch.from_numpy(self.contents.targets).to(device),
            metrics=self.contents.metrics,
            loss=encoder.clip.contrastive_loss,
            batch_size=encoder.batch_size,
            ranks=partial(ranks, workers=encoder.workers),
        )
        scores = self.source.scores(embeddings)
        values = (self._by_picture(scores[metric]) for metric in self.contents.metrics)
        return dict(zip(self.metric_names, values, strict=True))

    def _by_picture(self, score: float) -> float:
        """A share whose items name a picture's first row, since a table of pairs may use a picture several times."""
        if not isinstance(score, Share):
            return score
        _, number = numbered(self.contents.images)
        rows = np.unique(number, return_index=True)[1][number]
        return Share(*(Items(part.right, rows[part.images]) for part in score.parts))


def load_sets(
    sets: Sequence[EvaluationSet],
    input_format: InputFormat,
    reading: Reading = KNOWN,
    image_store: Literal["auto", "on", "off"] = "auto",
    exif: Exif = "ignore",
) -> list[LoadedSet]:
    """Read evaluation sets, and prepare their pictures and tokens for a model.

    Args:
        sets: The sets in the study file.
        input_format: What the model takes as input.
        reading: Which columns of tables are read.
        image_store: Whether decoded pictures are kept in a file; see `open_pictures`.
        exif: Whether to turn pictures as their EXIF orientation says.

    Raises:
        InputError: A file, folder or image of a set is missing or wrong.
    """
    loaded = []
    for each in sets:
        contents = each.read(reading)
        images = open_pictures(contents.images, input_format.image_size, input_format.transform, image_store, exif)
        loaded.append(LoadedSet(each, contents, images, input_format.tokens(contents.texts), exif))
    return loaded


def evaluate(sets: Sequence[LoadedSet], encoder: Encoder | CachingEncoder) -> dict[str, float]:
    """The metrics of several sets, by <set>/<metric>."""
    return {name: value for each in sets for name, value in each.score(encoder).items()}
