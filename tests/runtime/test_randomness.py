"""Every draw depends on its key alone."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simclip.runtime.randomness import generator, row_uniforms


def test_each_key_has_numbers_of_its_own() -> None:
    keys = list(product((0, 1, 7), ("anchor", "members", "shuffle"), (0, 1), (0, 1)))
    first = {key: generator(*key).random() for key in keys}
    assert len(set(first.values())) == len(keys)
    np.random.default_rng(0).random()
    assert all(generator(*key).random() == first[key] for key in reversed(keys))


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30), st.integers(0, 99), st.integers(0, 99))
def test_a_row_has_its_numbers_wherever_it_stands(rows: list[int], seed: int, epoch: int) -> None:
    together = row_uniforms(seed, "crop", epoch, np.array(rows), 3)
    assert together.shape == (len(rows), 3)
    assert ((together >= 0) & (together < 1)).all()
    for row, numbers in zip(rows, together, strict=True):
        assert np.array_equal(row_uniforms(seed, "crop", epoch, np.array([row]), 3)[0], numbers)


def test_row_numbers_are_uniform_and_unrelated() -> None:
    rows = np.arange(50_000)
    draws = row_uniforms(1, "crop", 0, rows, 4)
    others = [row_uniforms(*key, rows, 4) for key in ((1, "crop", 1), (2, "crop", 0), (1, "caption", 0))]
    columns = np.concatenate([draws, draws[1:].repeat(1, 0)[np.append(np.arange(49_999), 0)], *others], axis=1)
    for column in columns.T:
        counts, _ = np.histogram(column, bins=20, range=(0, 1))
        assert (abs(counts - 2500) < 300).all()  # six deviations
    correlation = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert abs(correlation).max() < 0.03  # more than six deviations
    assert len(np.unique(draws)) == draws.size
