"""Every method of making batches: what all promise, and each against a slow and obvious implementation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclip.clusters.margin import Margin
from simclip.clusters.methods import NAMES, graph, method_of, partition
from simclip.clusters.neighbours import Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.errors import ArmError, InputError
from simclip.runtime.randomness import generator
from tests.clusters.test_margin import limited, slow_margin, slow_neighbours
from tests.clusters.test_plan import all_cosines, clusters_of, unit_vectors

ONCE = [name for name in NAMES if method_of(name).once]


def plan(
    name: str, recipe: Recipe, similar: Neighbours, iterations: int, seed: int = 1, epoch: int = 0
) -> list[list[int]]:
    planned = method_of(name).plan(recipe, similar, len(similar), iterations, seed, epoch)
    return [batch.tolist() for batch in planned]


def slow_partition(
    cosines: list[list[float]],
    ranks: list[list[int]],
    recipe: Recipe,
    p: Fraction,
    iterations: int,
    seed: int,
    epoch: int,
) -> list[list[int]] | None:
    """The definition of partition, one row at a time; None where most groups are missing.

    Args:
        ranks: The rows that may be neighbours of each row, nearest first.
    """
    rows, size, batches = len(cosines), recipe.batch_size, []
    sizes = [len(each) for each in clusters_of([0] * size, recipe, p)]
    for number in range(-(-iterations // (rows // size))):
        count = min(rows // size, iterations - number * (rows // size))
        k = sizes[0]
        free, groups = set(range(rows)), []
        for anchor in generator(seed, "anchors", epoch, number).permutation(rows).tolist():
            nearest = [row for row in ranks[anchor] if row in free][: recipe.neighborhood * (k - 1)]
            if anchor in free and len(nearest) >= k - 1 and len(groups) < count * len(sizes):
                draw = generator(seed, "members", epoch, number, anchor)
                groups.append([anchor, *draw.choice(nearest, k - 1, replace=False).tolist()])
                free -= set(groups[-1])
        if 2 * len(groups) < count * len(sizes):
            return None
        order = generator(seed, "deal", epoch, number).permutation(len(groups)).tolist()
        dealt: list[list[int]] = [[] for _ in range(count)]
        for place, group in enumerate(order):
            dealt[place % count] += groups[group][: sizes[place // count]]
        shuffled = generator(seed, "shuffle", epoch, number).permutation(rows).tolist()
        others = [row for row in shuffled if not any(row in batch for batch in dealt)]
        for batch in dealt:
            while len(batch) < size:
                batch.append(others.pop(0))
        batches += dealt
    return batches


@st.composite
def problems(draw: st.DrawFn) -> tuple[Recipe, Fraction, int, int, int]:
    """A recipe with clusters, its p, the number of batches, seed and epoch."""
    size, p = draw(st.integers(2, 8)), Fraction(draw(st.integers(1, 4)), 4)
    recipe = Recipe(size, float(p), draw(st.integers(2, size)), draw(st.integers(1, 3)))
    return recipe, p, draw(st.integers(1, 7)), draw(st.integers(0, 3)), draw(st.integers(0, 3))


@settings(max_examples=80)
@given(limited(), problems(), st.sampled_from([1 / 8, 1.0]))
def test_partition_is_its_definition(
    made: tuple[np.ndarray, float | None, int, Margin | None],
    problem: tuple[Recipe, Fraction, int, int, int],
    share: float,
) -> None:
    (texts, most, skip, margin), (recipe, p, iterations, seed, epoch) = made, problem
    if len(texts) < recipe.batch_size or not recipe.cluster_sizes:
        return
    allowed = None if margin is None else slow_margin(margin.images, texts, margin.share)
    cosines, limit = all_cosines(texts), 9.0 if most is None else most - 1e-6
    ranks = [slow_neighbours(cosines, anchor, skip, limit, allowed) for anchor in range(len(texts))]
    expected = slow_partition(cosines, ranks, recipe, p, iterations, seed, epoch)
    similar = Neighbours(texts, most, skip_nearest=skip, margin=margin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "SHARE", share)  # how many anchors are ranked together changes nothing
        if expected is None:
            with pytest.raises(ArmError, match="groups that an epoch's batches have room for"):
                plan("partition", recipe, similar, iterations, seed, epoch)
        else:
            assert plan("partition", recipe, similar, iterations, seed, epoch) == expected


@pytest.mark.parametrize("name", ONCE)
@settings(max_examples=30)
@given(st.integers(8, 60), problems(), st.integers(0, 99))
def test_each_row_comes_once_and_batches_are_composed_as_asked(
    name: str, rows: int, problem: tuple[Recipe, Fraction, int, int, int], vectors: int
) -> None:
    recipe, _, _, seed, epoch = problem
    similar, iterations = Neighbours(unit_vectors(rows, 4, rows, vectors)), rows // recipe.batch_size
    batches = plan(name, recipe, similar, iterations, seed, epoch)
    drawn = [row for batch in batches for row in batch]
    assert len(set(drawn)) == len(drawn) == iterations * recipe.batch_size
    assert set(drawn) <= set(range(rows))
    # A second round begins once the batches no longer fit into the data; each of its rows comes once, too.
    longer = plan(name, recipe, similar, iterations + 1, seed, epoch)
    assert longer[:iterations] == batches and len(set(longer[-1])) == recipe.batch_size


@pytest.mark.parametrize("name", NAMES)
def test_without_clusters_every_method_is_plain_shuffling(name: str) -> None:
    similar = Neighbours(unit_vectors(50, 3, 50, 0))
    for recipe in (Recipe(8), Recipe(8, 0.0, 4), Recipe(8, 1.0, 1), Recipe(8, 0.1, 4)):
        expected = [batch.tolist() for batch in plan_epoch(recipe, None, 50, 9, 3, 2)]
        assert plan(name, recipe, similar, 9, 3, 2) == expected


@pytest.mark.parametrize("name", NAMES)
def test_plans_depend_on_seed_and_epoch_alone(name: str) -> None:
    recipe, similar = Recipe(16, 0.5, 4, 2), Neighbours(unit_vectors(80, 4, 80, 1))
    plans = {(seed, epoch): plan(name, recipe, similar, 5, seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len({str(each) for each in plans.values()}) == 4
    np.random.default_rng().random()
    again = Neighbours(unit_vectors(80, 4, 80, 1))
    assert all(plans[key] == plan(name, recipe, again, 5, *key) for key in reversed(plans))


@pytest.mark.parametrize("name", NAMES)
def test_clusters_hold_rows_that_are_alike(name: str) -> None:
    """Rows on six far-apart spots, eight on each: whole batches of clusters keep the spots together."""
    spots = np.repeat(unit_vectors(6, 12, 6, 3), 8, axis=0)
    noise = 0.05 * np.random.default_rng(0).normal(size=spots.shape)
    vectors = spots + noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    mixed = np.random.default_rng(1).permutation(48)
    spot = mixed // 8
    batches = plan(name, Recipe(16, 1.0, 4), Neighbours(vectors[mixed]), 3)
    together = [
        len({spot[row] for row in batch[begin : begin + 4]}) == 1 for batch in batches for begin in range(0, 16, 4)
    ]
    assert np.mean(together) > 0.7  # of random fours, one in 400


def test_the_graph_joins_the_first_neighbours_after_the_skipped_ones() -> None:
    texts, images = unit_vectors(25, 3, 12, 0), unit_vectors(25, 3, 25, 1)
    cosines, allowed = all_cosines(texts), slow_margin(images, texts, 1.2)
    first = [slow_neighbours(cosines, row, 2, 0.95 - 1e-6, allowed)[:4] for row in range(25)]
    expected = [[(b in first[a]) + (a in first[b]) for b in range(25)] for a in range(25)]
    similar = Neighbours(texts, 0.95, skip_nearest=2, margin=Margin(images, texts, 1.2))
    assert graph.graph_of(similar, 4).toarray().tolist() == expected


@pytest.mark.parametrize("size", [2, 3, 16])
def test_communities_are_cut_to_one_size_and_keep_more_ties_than_chance(size: int) -> None:
    vectors = unit_vectors(600, 8, 600, 2)
    ties = graph.graph_of(Neighbours(vectors), 15)
    parts = graph.communities(ties, size, seed=3)
    groups = graph.evened(parts, ties, vectors, size)
    assert {len(group) for group in groups} == {size} and len(groups) == 600 // size
    assert len(set(np.concatenate(groups).tolist())) == 600 // size * size

    def kept(those: list[np.ndarray]) -> float:
        return sum(ties[group][:, group].sum() for group in those) / ties.sum()

    shuffled = np.split(np.random.default_rng(0).permutation(600)[: 600 // size * size], 600 // size)
    assert kept(groups) > 5 * kept(shuffled)
    moved = sum(len(set(parts[group])) > 1 for group in groups)
    assert moved <= len(groups) / 2  # communities stay what METIS cut, but for a few rows


@given(st.integers(2, 200), st.integers(2, 9), st.integers(0, 9))
def test_cells_divide_the_rows_into_similar_halves(rows: int, size: int, seed: int) -> None:
    vectors = unit_vectors(rows, 3, rows, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "CELL", 24)
        found = list(graph.cells(vectors, np.arange(rows), size, (seed, 0, 0)))
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    assert all(len(cell) <= 24 for cell in found)
    assert rows <= 24 or len(found) > 1
    if rows == 200:
        spread = np.mean([np.linalg.norm(vectors[cell].mean(axis=0)) for cell in found])
        assert spread > 2 * np.linalg.norm(vectors.mean(axis=0))


def test_cells_of_any_number_make_a_plan() -> None:
    similar = Neighbours(unit_vectors(120, 4, 120, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "CELL", 20)
        batches = plan("graph", Recipe(30, 1.0, 5), similar, 4)
    assert sorted(row for batch in batches for row in batch) == list(range(120))


@pytest.mark.parametrize("name", ONCE)
def test_limits_that_leave_hardly_any_group_are_refused(name: str) -> None:
    similar = Neighbours(unit_vectors(40, 4, 40, 0), max_similarity=-0.99)
    with pytest.raises(ArmError, match=r"max_similarity -0.99 allow only [01] of the 20 groups .* loosen the limits"):
        plan(name, Recipe(8, 1.0, 2), similar, 5)


@pytest.mark.parametrize("name", NAMES)
def test_skipped_ranks_that_leave_too_few_rows_are_refused_before_a_trial(name: str) -> None:
    method_of(name).check(rows=40, batch_size=8, skip_nearest=32)
    with pytest.raises(InputError, match=r"skip_nearest 33 leaves 6 of 40 rows .* batches of 8: expected at most 32"):
        method_of(name).check(rows=40, batch_size=8, skip_nearest=33)


def test_graphs_without_their_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="batching graph: the package pymetis is missing; install it"):
        method_of("graph").check(rows=40, batch_size=8, skip_nearest=0)
