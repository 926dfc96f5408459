"""The plan of an epoch against Algorithm 1 written as loops, and the properties that it promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters import neighbours
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, Walk, plan_epoch
from simclip.errors import InputError
from simclip.runtime.randomness import generator

Plan = list[list[int]]


def unit_vectors(rows: int, width: int, different: int, seed: int) -> np.ndarray:
    """float32 [rows, width]; fewer `different` ones than rows means that some rows are equal."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(different, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[np.append(np.arange(different), draw.integers(different, size=rows))[:rows]].astype(np.float32)


def all_cosines(vectors: np.ndarray) -> list[list[float]]:
    """Term by term, so that equal rows have equal cosines."""
    wide = vectors.astype(np.float64).tolist()
    return [[sum(a * b for a, b in zip(one, other, strict=True)) for other in wide] for one in wide]


def slow_plan(
    cosines: Sequence[Sequence[float]],
    recipe: Recipe,
    p: Fraction,
    iterations: int,
    seed: int,
    epoch: int,
    max_similarity: float = 9.0,
) -> Plan:
    """Algorithm 1, one row at a time; IndexError where an anchor has too few neighbours."""
    rows, k, s = len(cosines), recipe.cluster_size, recipe.neighborhood
    waiting: list[int] = []
    permutations = 0
    plan: Plan = []
    for number in range(iterations):
        anchors, members = generator(seed, "anchor", epoch, number), generator(seed, "members", epoch, number)
        batch: list[int] = []
        to_cluster = int(p * recipe.batch_size)
        while k > 1 and to_cluster > 1:
            size = min(k, to_cluster)
            to_cluster -= size
            anchor = int(anchors.integers(rows))
            while anchor in batch:
                anchor = int(anchors.integers(rows))
            similar = [row for row in range(rows) if row not in [*batch, anchor]]
            similar = [row for row in similar if cosines[anchor][row] < max_similarity]
            similar.sort(key=lambda row: (-cosines[anchor][row], row))
            neighbourhood = similar[: s * (size - 1)]
            if len(neighbourhood) < size - 1:
                raise IndexError
            batch += [anchor, *(int(row) for row in members.choice(neighbourhood, size - 1, replace=False))]
        place = 0
        while len(batch) < recipe.batch_size:
            if place == len(waiting):
                waiting += generator(seed, "shuffle", epoch, permutations).permutation(rows).tolist()
                permutations += 1
            if waiting[place] in batch:
                place += 1  # deferred: it stays where it is
            else:
                batch.append(waiting.pop(place))
        plan.append(batch)
    return plan


def fast_plan(
    vectors: np.ndarray, recipe: Recipe, iterations: int, seed: int, epoch: int, max_similarity: float | None = None
) -> Plan:
    similar = Neighbours(vectors, max_similarity)
    return [batch.tolist() for batch in plan_epoch(recipe, similar, len(vectors), iterations, seed, epoch)]


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, Recipe, Fraction, int, int, int]:
    """Any data, N up to all rows, k up to N, any s and p; floor(pN) below k too, as early in a warm-up."""
    rows = draw(st.integers(3, 24))
    vectors = unit_vectors(rows, draw(st.integers(2, 5)), draw(st.integers(1, rows)), draw(st.integers(0, 999)))
    size = draw(st.integers(2, rows))
    p = Fraction(draw(st.integers(0, 24)), 24)
    recipe = Recipe(size, float(p), draw(st.integers(1, size)), draw(st.integers(1, 4)))
    return vectors, recipe, p, draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(st.integers(0, 3))


@pytest.mark.parametrize(("slack", "block", "few_rows"), [(0, 3, 0), (2, 10**6, 8192), (64, 5, 0)])
@settings(max_examples=60)
@given(problem=problems())
def test_plan_is_algorithm_1(
    slack: int, block: int, few_rows: int, problem: tuple[np.ndarray, Recipe, Fraction, int, int, int]
) -> None:
    vectors, recipe, p, iterations, seed, epoch = problem
    with pytest.MonkeyPatch.context() as patch:  # data this small would otherwise never outgrow the candidates
        patch.setattr(neighbours, "SLACK", slack)
        patch.setattr(neighbours, "BLOCK_ANCHORS", block)
        patch.setattr(neighbours, "BLOCK_ELEMENTS", block)
        patch.setattr(neighbours, "RANKED_ELEMENTS", block)
        patch.setattr(neighbours, "FEW_ROWS", few_rows)  # 0: bf16 candidates
        planned = fast_plan(vectors, recipe, iterations, seed, epoch)
    assert planned == slow_plan(all_cosines(vectors), recipe, p, iterations, seed, epoch)


@settings(max_examples=60)
@given(problems(), st.floats(-0.9, 1.0))
def test_max_similarity_keeps_likely_duplicates_apart(
    problem: tuple[np.ndarray, Recipe, Fraction, int, int, int], most: float
) -> None:
    vectors, recipe, p, iterations, seed, epoch = problem
    cosines = all_cosines(vectors)
    limit = most - 1e-6  # equal rows count as cosine 1 however fp32 rounded them
    try:
        expected = slow_plan(cosines, recipe, p, iterations, seed, epoch, limit)
    except IndexError:
        with pytest.raises(InputError, match=rf"max_similarity {most} leaves row \d+ .*raise it or lower k"):
            fast_plan(vectors, recipe, iterations, seed, epoch, most)
        return
    planned = fast_plan(vectors, recipe, iterations, seed, epoch, most)
    assert planned == expected
    for batch in planned:
        for anchor, *others in clusters_of(batch, recipe, p):
            assert all(cosines[anchor][row] < limit for row in others)


@pytest.mark.parametrize(("k", "s"), [(8, 1), (8, 3), (12, 2), (64, 1)])
def test_plan_is_algorithm_1_where_candidates_are_a_part_of_all_rows(k: int, s: int) -> None:
    vectors = unit_vectors(700, 16, 700, seed=4)
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    recipe = Recipe(128, 0.75, k, s)
    assert fast_plan(vectors, recipe, 3, seed=1, epoch=2) == slow_plan(cosines, recipe, Fraction(3, 4), 3, 1, 2)


def clusters_of(batch: list[int], recipe: Recipe, p: Fraction) -> list[list[int]]:
    """The clusters that stand at the head of a batch, by the definition of their sizes."""
    left, k = int(p * recipe.batch_size), recipe.cluster_size
    clusters, begin = [], 0
    while k > 1 and left > 1:
        size = min(k, left)
        clusters.append(batch[begin : begin + size])
        begin, left = begin + size, left - size
    return clusters


@settings(max_examples=100)
@given(problems())
def test_what_every_batch_promises(problem: tuple[np.ndarray, Recipe, Fraction, int, int, int]) -> None:
    vectors, recipe, p, iterations, seed, epoch = problem
    cosines = all_cosines(vectors)
    planned = fast_plan(vectors, recipe, iterations, seed, epoch)
    assert len(planned) == iterations
    for batch in planned:
        assert len(batch) == len(set(batch)) == recipe.batch_size
        assert set(batch) <= set(range(len(vectors)))
        clusters = clusters_of(batch, recipe, p)
        assert [len(cluster) for cluster in clusters] == recipe.cluster_sizes
        earlier: set[int] = set()
        for anchor, *others in clusters:
            free = set(range(len(vectors))) - earlier - {anchor}
            nearest = sorted(free, key=lambda row: (-cosines[anchor][row], row))
            assert set(others) <= set(nearest[: recipe.neighborhood * len(others)])
            earlier |= {anchor, *others}


@given(st.integers(2, 2000), st.integers(0, 1000), st.integers(2, 2000))
def test_clustered_rows_are_exactly_floor_of_pn(size: int, thousandths: int, k: int) -> None:
    sizes = Recipe(size, thousandths / 1000, k).cluster_sizes
    rows = size * thousandths // 1000
    assert rows - sum(sizes) == (1 if rows % k == 1 else 0)  # one left over is no cluster
    assert all(each == k for each in sizes[:-1])
    assert all(2 <= each <= k for each in sizes)


@given(st.integers(2, 40), st.data())
def test_without_clusters_it_is_epoch_shuffling(rows: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, rows))
    seed, epoch = data.draw(st.integers(0, 99)), data.draw(st.integers(0, 99))
    shuffled = generator(seed, "shuffle", epoch, 0).permutation(rows).tolist()
    for recipe in (Recipe(size), Recipe(size, 0.0, 7, 3), Recipe(size, 1.0, 1)):
        batches = plan_epoch(recipe, None, rows, rows // size, seed, epoch)
        assert np.concatenate(list(batches)).tolist() == shuffled[: rows // size * size]


@given(st.integers(2, 12), st.data())
def test_a_used_up_permutation_is_followed_by_another(rows: int, data: st.DataObject) -> None:
    size, iterations = data.draw(st.integers(2, rows)), data.draw(st.integers(1, 12))
    batches = [batch.tolist() for batch in plan_epoch(Recipe(size), None, rows, iterations, 5, 0)]
    assert all(len(set(batch)) == size for batch in batches)
    counts = Counter(row for batch in batches for row in batch)
    # Only the last batch can hold a row of a later permutation while another of an earlier one still waits.
    assert max(counts.values()) - min(counts[row] for row in range(rows)) <= 2
    if rows % size == 0:
        permutations = [generator(5, "shuffle", 0, number).permutation(rows) for number in range(12)]
        assert np.concatenate(batches).tolist() == np.concatenate(permutations)[: size * iterations].tolist()


def test_a_row_that_is_in_the_batch_is_deferred_not_dropped() -> None:
    order = generator(3, "shuffle", 1, 0).permutation(9).tolist()
    walk, taken = Walk(9, seed=3, epoch=1), np.zeros(9, dtype=bool)
    taken[[order[0], order[2]]] = True
    assert walk.take(3, taken) == [order[1], order[3], order[4]]
    assert walk.take(3, np.zeros(9, dtype=bool)) == [order[0], order[2], order[5]]


@given(st.integers(0, 99))
def test_every_row_comes_once_per_permutation_beside_clusters_too(seed: int) -> None:
    vectors, recipe = unit_vectors(30, 3, 30, seed), Recipe(10, 0.5, 5)
    independent = [row for batch in fast_plan(vectors, recipe, 6, seed, 0) for row in batch[5:]]
    # 30 draws; at most what the last batch's clusters hold was deferred out of the first permutation.
    assert len(set(independent)) >= 25


@pytest.mark.parametrize("size", [19, 20])
@pytest.mark.parametrize(("k", "s"), [(5, 1), (5, 4), (20, 1), (7, 100)])
def test_a_batch_of_nearly_all_rows(size: int, k: int, s: int) -> None:
    vectors = unit_vectors(20, 3, 20, seed=0)
    for seed in range(10):
        for batch in fast_plan(vectors, Recipe(size, 1.0, min(k, size), s), 5, seed, 0):
            assert len(set(batch)) == size


def test_equal_cosines_go_to_the_lower_row() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (50, 1))
    for anchor, *others in fast_plan(vectors, Recipe(8, 1.0, 8), 5, 1, 0):
        assert sorted(others) == [row for row in range(8) if row != anchor][:7]


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    vectors, recipe = unit_vectors(60, 4, 60, seed=1), Recipe(16, 0.5, 4, 2)
    plans = {
        (seed, epoch): str(fast_plan(vectors, recipe, 4, seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)
    }
    assert len(set(plans.values())) == 9
    np.random.default_rng().random()
    assert all(plans[key] == str(fast_plan(vectors, recipe, 4, *key)) for key in reversed(plans))


def test_a_plan_read_in_part_is_the_beginning_of_the_whole() -> None:
    vectors, recipe = unit_vectors(60, 4, 60, seed=1), Recipe(16, 0.5, 4, 2)
    whole = fast_plan(vectors, recipe, 12, 1, 1)
    part = islice(plan_epoch(recipe, Neighbours(vectors), 60, 12, 1, 1), 3)
    assert [batch.tolist() for batch in part] == whole[:3]
    assert fast_plan(vectors, recipe, 5, 1, 1) == whole[:5]


def test_anchors_are_uniform_over_the_rows() -> None:
    vectors = unit_vectors(10, 3, 10, seed=2)
    counts = Counter(batch[0] for batch in fast_plan(vectors, Recipe(4, 1.0, 4), 2000, 1, 0))
    assert min(counts.values()) > 140 and max(counts.values()) < 260  # 200 each, more than four deviations around


def test_spare_anchors_stand_in_for_taken_ones() -> None:
    """Clusters take many anchors of a large batch before their turn; the next ones are ranked with the others."""
    vectors = unit_vectors(6000, 32, 6000, seed=3)
    recipe = Recipe(1200, 1.0, 6)
    looked_up = []

    class Counting(Neighbours):
        def _among_all(self, anchor: int, count: int, taken: np.ndarray) -> np.ndarray:
            looked_up.append(anchor)
            return super()._among_all(anchor, count, taken)

    batches = list(plan_epoch(recipe, Counting(vectors), 6000, 5, 1, 0))
    assert len(looked_up) == 0
    assert all(len(set(batch.tolist())) == 1200 for batch in batches)
