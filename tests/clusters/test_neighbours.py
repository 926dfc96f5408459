"""Nearest neighbours against sorting all cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters import neighbours
from simclip.clusters.neighbours import Neighbours


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sorted_rows(vectors: np.ndarray, anchor: int, taken: np.ndarray) -> list[int]:
    wide = vectors.astype(np.float64).tolist()
    cosine = [sum(a * b for a, b in zip(wide[anchor], other, strict=True)) for other in wide]
    free = [row for row in range(len(wide)) if row != anchor and not taken[row]]
    return sorted(free, key=lambda row: (-cosine[row], row))


@pytest.mark.parametrize("slack", [0, 3, 64])
@settings(max_examples=60)
@given(rows=st.integers(2, 40), width=st.integers(1, 4), seed=st.integers(0, 999), data=st.data())
def test_nearest_is_the_head_of_all_rows_sorted(
    slack: int, rows: int, width: int, seed: int, data: st.DataObject
) -> None:
    draw = np.random.default_rng(seed)
    vectors = unit(draw.normal(size=(rows, width)))[draw.integers(rows, size=rows)]  # width 1: all cosines are 1 or -1
    taken = draw.random(rows) < data.draw(st.sampled_from([0.0, 0.3, 0.9]))
    anchor, count = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(1, rows))
    expected = sorted_rows(vectors, anchor, taken)[:count]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "SLACK", slack)
        similar = Neighbours(vectors)
        assert similar.nearest(anchor, count, taken).tolist() == expected
        similar.prepare(draw.permutation(rows)[: rows // 2 + 1], count)
        assert similar.nearest(anchor, count, taken).tolist() == expected


def test_cosines_closer_than_fp32_tells_are_still_in_order() -> None:
    """Angles so near each other that an fp32 product orders them by its rounding."""
    angles = 1.5 + np.arange(200)[::-1] * 1e-7
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    vectors = np.concatenate([np.array([[0.6, 0.8]], dtype=np.float32), vectors])
    nobody = np.zeros(201, dtype=bool)
    similar = Neighbours(vectors)
    similar.prepare(np.array([0]), 20)
    assert similar.nearest(0, 20, nobody).tolist() == sorted_rows(vectors, 0, nobody)[:20]


def test_rows_at_or_above_max_similarity_are_no_neighbours() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)
    nobody = np.zeros(5, dtype=bool)
    assert Neighbours(vectors, 0.8).nearest(0, 4, nobody).tolist() == [3, 4]
    assert Neighbours(vectors, 0.9).nearest(0, 4, nobody).tolist() == [2, 3, 4]
    assert Neighbours(vectors).nearest(0, 4, nobody).tolist() == [1, 2, 3, 4]


def test_max_similarity_of_one_keeps_equal_rows_apart_however_they_were_rounded() -> None:
    different = unit(np.random.default_rng(0).normal(size=(100, 512)))
    vectors = np.concatenate([different, different])
    similar, nobody = Neighbours(vectors, 1.0), np.zeros(200, dtype=bool)
    for row in range(100):
        found = similar.nearest(row, 198, nobody)
        assert len(found) == 198
        assert row + 100 not in found
