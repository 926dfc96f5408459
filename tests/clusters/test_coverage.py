"""The figures of coverage against counting by hand, and the bound that a dry run prints against drawn epochs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters.coverage import EFFECTIVE, LARGEST, SEEN, Coverage, most_seen


@settings(max_examples=30)
@given(st.integers(1, 12), st.data())
def test_figures_are_those_of_counting(rows: int, data: st.DataObject) -> None:
    batches = data.draw(st.lists(st.lists(st.integers(0, rows - 1), min_size=1, unique=True), min_size=1, max_size=9))
    coverage, counts = Coverage(rows), Counter(row for batch in batches for row in batch)
    passed = [batch.tolist() for batch in coverage.counted(np.array(batch) for batch in batches)]
    assert passed == batches
    assert coverage.summary() == {
        SEEN: len(counts) / rows,
        LARGEST: max(counts.values()),
        EFFECTIVE: pytest.approx(counts.total() ** 2 / sum(n * n for n in counts.values())),
    }


def test_rows_that_come_equally_often_are_all_effective() -> None:
    coverage = Coverage(8)
    list(coverage.counted(np.array([row, row + 4]) for row in range(4)))
    assert coverage.summary() == {SEEN: 1.0, LARGEST: 1, EFFECTIVE: 8.0}


@pytest.mark.parametrize("proportion", [0.0, 0.5, 1.0])
def test_no_epoch_is_expected_to_show_more_than_the_bound(proportion: float) -> None:
    """Batches of clusters that are drawn uniformly reach it; those with favourites do not."""
    rows, size, iterations = 400, 20, 20
    clustered = int(proportion * size)
    favourites = np.geomspace(1, 50, rows)
    means = []
    for weights in (np.ones(rows), favourites):
        draw = np.random.default_rng(0)
        seen = []
        for _ in range(40):
            coverage, walk = Coverage(rows), draw.permutation(rows).reshape(iterations, size)
            similar = (
                draw.choice(rows, clustered, replace=False, p=weights / weights.sum()) for _ in range(iterations)
            )
            batches = (np.unique([*some, *others[clustered:]]) for some, others in zip(similar, walk, strict=True))
            list(coverage.counted(batches))
            seen.append(coverage.seen)
        means.append(np.mean(seen))
    bound = most_seen(rows, size, iterations, proportion, once=False)
    assert means[0] == pytest.approx(bound, abs=0.01)
    assert means[1] <= bound + 0.005
    assert proportion == 0 or means[1] < bound - 0.01


def test_an_epoch_with_each_row_once_shows_what_its_batches_hold() -> None:
    assert most_seen(100, 8, 12, 1.0, once=True) == most_seen(100, 8, 12, 0.0, once=False) == pytest.approx(0.96)
    assert most_seen(100, 8, 13, 1.0, once=True) == 1
