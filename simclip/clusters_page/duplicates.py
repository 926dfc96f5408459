"""Which rows of a cluster are likely duplicates of its anchor, and by which rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simclip.clusters.neighbours import EQUAL
from simclip.clusters.survey import Survey
from simclip.clusters_page.thumbnails import content_hash
from simclip.data.tokens import clean_caption

#: Without a max_similarity the line lies where so many of the nearest neighbours are below it.
QUANTILE = 0.99


@dataclass(frozen=True)
class Rule:
    """What makes a neighbour a likely duplicate.

    Attributes:
        line: The cosine from which on it is one.
        given: Whether that is max_similarity, or the surveyed rows' own 99th percentile.
    """

    line: float
    given: bool

    @classmethod
    def of(cls, max_similarity: float | None, found: Survey) -> Rule:
        """The given line, or the data's own."""
        if max_similarity is not None:
            return cls(max_similarity, given=True)
        return cls(float(np.quantile(found.nearest, QUANTILE)), given=False)

    def __str__(self) -> str:
        which = "max_similarity" if self.given else "what 1% of all nearest neighbours reach"
        return f"the same image file, the same caption, or a similarity of at least {self.line:.3f} ({which})"

    def marks(self, anchor: Shown, other: Shown, cosine: float) -> list[str]:
        """Why a row is a likely duplicate of the anchor; empty where it is none."""
        found = []
        if other.path == anchor.path or content_hash(other.path) == content_hash(anchor.path):
            found.append("same image")
        if plain(other.caption) == plain(anchor.caption):
            found.append("same caption")
        if cosine >= self.line - EQUAL:
            found.append(f"≥ {self.line:.3f}")
        return found


@dataclass(frozen=True)
class Shown:
    """A row as the page has it."""

    path: Path
    caption: str


def plain(caption: str) -> str:
    """A caption without what does not change what it says: case, punctuation at its end, runs of spaces."""
    return " ".join(clean_caption(caption).casefold().split()).rstrip(" .!")
