"""Cards: rows of the training set with their picture, their caption and their relation to an anchor."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from simclip.clusters.survey import Example
from simclip.clusters_page.duplicates import DuplicateRule, PageRow
from simclip.data.images import read_square
from simclip.data.picture import Picture
from simclip.data.picture_file import Exif

#: Maximum number of pictures per cluster, of its members and of the rows that were left out; the rest is counted.
MOST_MEMBERS = 31
MOST_EXCLUDED = 8
#: Longer side of a picture in pixels, twice what the page shows for the sake of dense screens; JPEG quality.
SIDE, QUALITY = 224, 70


@dataclass(frozen=True)
class Cards:
    """Makes the cards of a page.

    Attributes:
        rows: The rows of the training set.
        rule: Marks likely duplicates.
        exif: Whether pictures are turned as their EXIF orientation says.
    """

    rows: Sequence[PageRow]
    rule: DuplicateRule
    exif: Exif = "ignore"

    def card(self, row: int, anchor: int | None = None, cosine: float = 1.0, excluded: bool = False) -> dict[str, Any]:
        """One row, as the template takes it.

        Args:
            row: Index of the row.
            anchor: Index of the row that it is compared with; None for an anchor.
            cosine: Similarity of both.
            excluded: Whether max_similarity left the row out, so that its similarity needs no mark.
        """
        shown, duplicates = self.rows[row], []
        if anchor is not None:
            duplicates = self.rule.reasons(self.rows[anchor], shown, -1.0 if excluded else cosine)
        return {
            "file": shown.path.name,
            "src": thumbnail(shown.path, self.exif),
            "caption": shown.caption,
            "cosine": None if anchor is None else f"{cosine:.3f}",
            "duplicates": duplicates,
        }

    def pairs(self, pairs: Sequence[tuple[int, int, float]]) -> Iterator[dict[str, Any]]:
        """Rows beside their nearest neighbours."""
        for row, neighbour, cosine in pairs:
            yield {"cosine": f"{cosine:.3f}", "rows": [self.card(row), self.card(neighbour, row, cosine)]}

    def clusters(self, examples: Sequence[Example]) -> Iterator[dict[str, Any]]:
        """Clusters with their anchor, the rows that were left out, and their members."""
        for each in examples:
            out = [*zip(each.excluded, each.excluded_cosines, strict=True)]
            members = [*zip(each.members, each.cosines, strict=True)]
            rest = members[MOST_MEMBERS:]
            yield {
                "anchor": self.card(each.anchor),
                "excluded": [self.card(row, each.anchor, cosine, excluded=True) for row, cosine in out[:MOST_EXCLUDED]],
                "members": [self.card(row, each.anchor, cosine) for row, cosine in members[:MOST_MEMBERS]],
                "more_excluded": max(0, len(out) - MOST_EXCLUDED),
                "rest": f"{len(rest)} more, down to {rest[-1][1]:.3f}" if rest else "",
                "looser": f"{each.looser:.0%}",
                "mean": f"{np.mean(each.cosines):.3f}" if each.cosines else "none",
            }


@cache
def thumbnail(path: Picture, exif: Exif = "ignore") -> str:
    """A small picture as a data: address, turned as training sees it.

    Raises:
        InputError: The file cannot be read as an image.
    """
    buffer = io.BytesIO()
    Image.fromarray(read_square(path, SIDE, _shrink, exif)).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _shrink(image: Image.Image, side: int) -> np.ndarray:
    image.draft("RGB", (side, side))
    small = image.convert("RGB")
    small.thumbnail((side, side))
    return np.array(small)
