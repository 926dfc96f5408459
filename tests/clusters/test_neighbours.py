"""Nearest neighbours against sorting all cosines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters import neighbours
from simclip.clusters.neighbours import ListedNeighbours, Neighbours


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def sorted_rows(vectors: np.ndarray, anchor: int, taken: np.ndarray) -> list[int]:
    wide = vectors.astype(np.float64).tolist()
    cosine = [sum(a * b for a, b in zip(wide[anchor], other, strict=True)) for other in wide]
    free = [row for row in range(len(wide)) if row != anchor and not taken[row]]
    return sorted(free, key=lambda row: (-cosine[row], row))


@pytest.mark.parametrize("few_rows", [0, 8192])  # 0: bf16 candidates
@pytest.mark.parametrize("slack", [0, 3, 64])
@settings(max_examples=60)
@given(rows=st.integers(2, 40), width=st.integers(1, 4), seed=st.integers(0, 999), data=st.data())
def test_nearest_is_the_head_of_all_rows_sorted(
    slack: int, few_rows: int, rows: int, width: int, seed: int, data: st.DataObject
) -> None:
    draw = np.random.default_rng(seed)
    vectors = unit(draw.normal(size=(rows, width)))[draw.integers(rows, size=rows)]  # width 1: all cosines are 1 or -1
    taken = draw.random(rows) < data.draw(st.sampled_from([0.0, 0.3, 0.9]))
    anchor, count = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(1, rows))
    expected = sorted_rows(vectors, anchor, taken)[:count]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "SLACK", slack)
        patch.setattr(neighbours, "FEW_ROWS", few_rows)
        similar = Neighbours(vectors)
        assert similar.nearest(anchor, count, taken).tolist() == expected
        similar.prepare(draw.permutation(rows)[: rows // 2 + 1], count)
        assert similar.nearest(anchor, count, taken).tolist() == expected
        listed = ListedNeighbours(vectors, similar.lists(count))
        listed.prepare(np.array([anchor]), count)
        assert listed.nearest(anchor, count, taken).tolist() == expected


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


@pytest.mark.parametrize("most", [None, 0.9])
def test_thousands_of_crowded_rows(most: float | None) -> None:
    """Cosines that bf16 cannot tell apart, duplicates among them, against one full product in fp64."""
    draw = np.random.default_rng(3)
    centre = draw.normal(size=(30, 64))
    vectors = unit(centre[draw.integers(30, size=9000)] + 0.2 * draw.normal(size=(9000, 64)))
    vectors[5000:5300] = vectors[17]
    wide = vectors.astype(np.float64)
    similar, taken = Neighbours(vectors, most), np.zeros(9000, dtype=bool)
    anchors = np.array([17, 5001, *draw.integers(9000, size=30)])
    similar.prepare(anchors, 40)
    for anchor in anchors.tolist():
        cosines = wide @ wide[anchor]
        allowed = np.arange(9000) != anchor
        if most is not None:
            allowed &= cosines < most - 1e-6
        found = similar.nearest(anchor, 40, taken)
        # Sums in another order differ in the last bits: the same cosines, whichever of two equal rows they are of.
        best = np.sort(cosines[allowed])[::-1][:40]
        assert cosines[found] == pytest.approx(best, abs=1e-12)
        assert allowed[found].all()


def test_a_torch_without_mkldnn_ranks_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Apple's processors, where the function that tells of bf16 does not exist."""
    vectors, free = unit(np.random.default_rng(0).normal(size=(40, 8))), np.zeros(40, dtype=bool)
    monkeypatch.setattr(neighbours, "FEW_ROWS", 0)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    similar = Neighbours(vectors)
    similar.prepare(np.arange(4), 5)
    assert similar.nearest(3, 5, free).tolist() == sorted_rows(vectors, 3, free)[:5]
