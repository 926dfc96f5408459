"""Which rows of a cluster are likely duplicates of its anchor, and by which rule."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from simclip.clusters.neighbours import EQUAL
from simclip.clusters.survey import Survey
from simclip.data.picture import Picture
from simclip.data.tokens import clean_caption

#: Without max_similarity, likely duplicates begin at this quantile of the similarities of nearest neighbours.
QUANTILE = 0.99


@dataclass(frozen=True)
class PageRow:
    """A row of the training set as the page shows it.

    Attributes:
        path: The image.
        caption: The caption that text similarity is measured on.
    """

    path: Picture
    caption: str


@dataclass(frozen=True)
class DuplicateRule:
    """What makes a neighbour a likely duplicate.

    Attributes:
        threshold: Cosine similarity from which on a neighbour is a likely duplicate.
        given: Whether it is max_similarity; otherwise it is the 99th percentile of the data's nearest neighbours.
    """

    threshold: float
    given: bool

    @classmethod
    def of(cls, max_similarity: float | None, survey: Survey) -> DuplicateRule:
        """The rule for the given max_similarity, or for the data where there is none."""
        if max_similarity is not None:
            return cls(max_similarity, given=True)
        return cls(float(np.quantile(survey.nearest, QUANTILE)), given=False)

    def __str__(self) -> str:
        which = "max_similarity" if self.given else "which 1% of all nearest neighbours reach"
        return f"the same image file, the same caption, or a similarity of at least {self.threshold:.3f} ({which})"

    def reasons(self, anchor: PageRow, other: PageRow, cosine: float) -> list[str]:
        """Why a row is a likely duplicate of the anchor; empty where it is not."""
        found = []
        if other.path == anchor.path or _content_hash(other.path) == _content_hash(anchor.path):
            found.append("same image")
        if normalized(other.caption) == normalized(anchor.caption):
            found.append("same caption")
        if cosine >= self.threshold - EQUAL:
            found.append(f"≥ {self.threshold:.3f}")
        return found


def normalized(caption: str) -> str:
    """A caption without differences in case, spaces and final punctuation."""
    return " ".join(clean_caption(caption).casefold().split()).rstrip(" .!")


def _content_hash(path: Picture) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
