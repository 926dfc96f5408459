"""The schedule of p and the rows of a batch that it stands for."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.config.proportion import clustered_rows, doubled_proportions, doubling_epochs, warmup_proportions


def test_the_original_schedule() -> None:
    """Nine intervals over 20 epochs: from 1/256 up, doubled at epochs 4, 6, ..., 18."""
    assert doubling_epochs(20, 9) == [4, 6, 8, 10, 12, 14, 16, 18]
    expected = [1 / 256] * 4 + [2.0**power for power in range(-7, 0) for _ in range(2)] + [1.0] * 2
    assert warmup_proportions(1.0, 20, 9) == expected
    assert doubled_proportions(1 / 256, 20, list(range(4, 19, 2))) == expected


def test_from_one_512th_it_ends_at_a_half() -> None:
    assert doubled_proportions(1 / 512, 20, list(range(4, 19, 2)))[-1] == 0.5


def test_doubling_stops_at_one() -> None:
    assert doubled_proportions(0.3, 5, [1, 2, 3]) == [0.3, 0.6, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("epochs", [10, 40, 100])
def test_other_lengths_scale(epochs: int) -> None:
    assert doubling_epochs(epochs, 9) == [each * epochs // 20 for each in range(4, 19, 2)]


@given(st.floats(0, 1), st.integers(1, 200), st.integers(1, 20))
def test_warmup_ends_at_the_final_p_by_doublings(final: float, epochs: int, intervals: int) -> None:
    schedule = warmup_proportions(final, epochs, intervals)
    assert len(schedule) == epochs
    assert schedule[-1] == final
    assert schedule == sorted(schedule)
    assert set(schedule) <= {final * 0.5**power for power in range(intervals)}


@given(st.integers(1, 300), st.integers(2, 20))
def test_intervals_are_of_similar_length(epochs: int, intervals: int) -> None:
    bounds = [0, *doubling_epochs(epochs, intervals), epochs]
    first, *others = [end - begin for begin, end in pairwise(bounds)]
    share = epochs / (intervals + 1)
    assert abs(first - 2 * share) < 1
    assert all(abs(length - share) <= 1 for length in others)


@given(st.floats(0, 1), st.integers(1, 50))
def test_one_interval_is_no_warmup(final: float, epochs: int) -> None:
    assert warmup_proportions(final, epochs, 1) == [final] * epochs


@given(st.integers(0, 10_000), st.integers(1, 100_000))
def test_clustered_rows_are_those_of_the_decimal_that_was_written(ten_thousandths: int, size: int) -> None:
    assert clustered_rows(ten_thousandths / 10_000, size) == ten_thousandths * size // 10_000


@pytest.mark.parametrize(("p", "size", "rows"), [(0.29, 100, 29), (1 / 3, 3, 1), (1 / 512, 1024, 2), (1.0, 7, 7)])
def test_clustered_rows_of_what_floats_get_wrong(p: float, size: int, rows: int) -> None:
    assert clustered_rows(p, size) == rows == int(Fraction(p).limit_denominator(1000) * size)
