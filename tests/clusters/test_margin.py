"""The limits on neighbours against sorting and comparing one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters import neighbours
from simclip.clusters.margin import Margin
from simclip.clusters.neighbours import ListedNeighbours, Neighbours
from tests.clusters.test_plan import all_cosines, unit_vectors


def slow_neighbours(
    cosines: list[list[float]], anchor: int, skip: int, limit: float, allowed: list[list[bool]] | None
) -> list[int]:
    """All rows that may be neighbours of an anchor, nearest first."""
    others = sorted((row for row in range(len(cosines)) if row != anchor), key=lambda row: (-cosines[anchor][row], row))
    far_enough = [row for row in others[skip:] if cosines[anchor][row] < limit]
    return [row for row in far_enough if allowed is None or allowed[anchor][row]]


def slow_margin(images: np.ndarray, texts: np.ndarray, share: float) -> list[list[bool]]:
    """Whether each row may be a neighbour of each anchor, by the definition."""
    scores = [
        [sum(a * b for a, b in zip(image, text, strict=True)) for text in texts.astype(np.float64).tolist()]
        for image in images.astype(np.float64).tolist()
    ]
    return [[score <= share * scores[anchor][anchor] for score in row] for anchor, row in enumerate(scores)]


@st.composite
def limited(draw: st.DrawFn) -> tuple[np.ndarray, float | None, int, Margin | None]:
    rows = draw(st.integers(2, 20))
    texts, images = (unit_vectors(rows, 3, draw(st.integers(1, rows)), draw(st.integers(0, 99))) for _ in range(2))
    margin = draw(st.sampled_from([None, 0.5, 0.95, 1.0, 1.3]))
    most = draw(st.sampled_from([None, 0.2, 0.9, 1.0]))
    return texts, most, draw(st.integers(0, 5)), None if margin is None else Margin(images, texts, margin)


@pytest.mark.parametrize(("slack", "few_rows"), [(0, 0), (2, 8192), (64, 0)])
@settings(max_examples=40)
@given(made=limited(), count=st.integers(1, 8), data=st.data())
def test_neighbours_are_the_nearest_that_no_limit_leaves_out(
    slack: int,
    few_rows: int,
    made: tuple[np.ndarray, float | None, int, Margin | None],
    count: int,
    data: st.DataObject,
) -> None:
    texts, most, skip, margin = made
    rows = len(texts)
    taken = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    allowed = None if margin is None else slow_margin(margin.images, texts, margin.share)
    cosines, limit = all_cosines(texts), 9.0 if most is None else most - 1e-6
    expected = [
        [row for row in slow_neighbours(cosines, anchor, skip, limit, allowed) if not taken[row]][:count]
        for anchor in range(rows)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "SLACK", slack)
        patch.setattr(neighbours, "FEW_ROWS", few_rows)  # 0: bf16 candidates
        found = Neighbours(texts, most, skip_nearest=skip, margin=margin)
        listed = ListedNeighbours(texts, found.lists(count), most, skip_nearest=skip, margin=margin)
        listed.prepare(np.arange(rows), count)
        for free in (None, ~taken):
            found.prepare(np.arange(rows), count, free)
            assert [found.nearest(anchor, count, taken).tolist() for anchor in range(rows)] == expected
        fresh = Neighbours(texts, most, skip_nearest=skip, margin=margin)
        for each in (listed, fresh):  # fresh: nothing is prepared
            assert [each.nearest(anchor, count, taken).tolist() for anchor in range(rows)] == expected


def test_a_part_keeps_the_limits_of_its_rows() -> None:
    texts, images = unit_vectors(30, 3, 30, 0), unit_vectors(30, 3, 30, 1)
    rows, none = np.arange(4, 30, 3), np.zeros(9, dtype=bool)
    part = Neighbours(texts, 0.9, skip_nearest=2, margin=Margin(images, texts, 0.9)).part(rows)
    alone = Neighbours(texts[rows], 0.9, skip_nearest=2, margin=Margin(images[rows], texts[rows], 0.9))
    assert part.limits == alone.limits == "max_similarity 0.9 with skip_nearest 2 with relative_margin 0.9"
    for anchor in range(len(rows)):
        assert part.nearest(anchor, 9, none).tolist() == alone.nearest(anchor, 9, none).tolist()
