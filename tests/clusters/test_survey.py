"""What a survey says of neighbours, against a sort of all cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.clusters.margin import Margin
from simclip.clusters.neighbours import EQUAL, Neighbours
from simclip.clusters.plan import Recipe
from simclip.clusters.survey import SAMPLE, SHARES, examples, pairs, survey
from simclip.errors import InputError
from tests.clusters.test_margin import slow_margin


def unit(rows: int, seed: int = 0, dimension: int = 8) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def all_cosines(embeddings: np.ndarray) -> np.ndarray:
    cosines = embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)
    np.fill_diagonal(cosines, -2)
    return cosines


@given(st.integers(20, 80), st.integers(2, 6), st.integers(1, 3), st.integers(0, 5))
def test_figures_are_those_of_a_sort(rows: int, k: int, s: int, seed: int) -> None:
    embeddings = unit(rows, seed)
    cosines, count = all_cosines(embeddings), s * (k - 1)
    found = survey(embeddings, Recipe(2, 1.0, k, s), 0.5, seed)
    assert found.anchors.tolist() == list(range(rows))
    np.testing.assert_allclose(found.cosines, -np.sort(-cosines, axis=1)[:, :count], atol=1e-5)
    assert found.levels[0] == 1 and 0.5 in found.levels and found.levels == sorted(found.levels, reverse=True)
    for place, level in enumerate(found.levels):
        unclear = (np.abs(cosines - level) < 1e-4).any()
        if not unclear:
            assert found.above[:, place].tolist() == (cosines >= level - EQUAL).sum(axis=1).tolist()
            assert found.left_out(level) == pytest.approx((cosines >= level - EQUAL).any(axis=0).mean())
    assert ((found.random >= -1.0001) & (found.random < 1)).all()


def test_levels_leave_out_the_shares_that_they_stand_for() -> None:
    found = survey(unit(1000, dimension=32), Recipe(2, 1.0, 4), None, 1)
    for share, level in zip(SHARES, [level for level in found.levels if level < 1], strict=True):
        assert found.left_out(level) == pytest.approx(share, abs=0.02)


def test_many_rows_are_sampled_and_compared_with_all() -> None:
    embeddings = unit(SAMPLE + 500)
    embeddings[-1] = embeddings[0]  # each other's nearest, whichever of them is an anchor
    found = survey(embeddings, Recipe(2, 1.0, 3), None, 1)
    assert len(found.anchors) == len(set(found.anchors.tolist())) == SAMPLE
    twins = np.isin(found.anchors, [0, len(embeddings) - 1])
    assert twins.any() and found.nearest[twins] == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(found.anchors, survey(embeddings, Recipe(2, 1.0, 3), None, 2).anchors)


def test_too_few_rows() -> None:
    with pytest.raises(InputError, match="10 rows: too few for the 10 neighbours of an anchor that k = 6 and s = 2"):
        survey(unit(10), Recipe(2, 1.0, 6, 2), None, 1)


def test_examples_go_from_tight_to_loose_and_hold_the_nearest_rows() -> None:
    embeddings = unit(60)
    cosines, recipe = all_cosines(embeddings), Recipe(2, 1.0, 4)
    made = examples(Neighbours(embeddings), recipe, survey(embeddings, recipe, None, 1), 6, 1)
    nearest = -np.sort(-cosines, axis=1)[:, :3]
    means = [float(np.mean(each.cosines)) for each in made]
    assert len(made) == len({each.anchor for each in made}) == 6 and means == sorted(means, reverse=True)
    for part, each in enumerate(made):
        assert each.cosines == pytest.approx(nearest[each.anchor].tolist(), abs=1e-6)
        assert each.members == np.argsort(-cosines[each.anchor])[:3].tolist()
        assert each.excluded == [] and each.short == ""
        assert 1 - (part + 1) / 6 <= each.looser <= 1 - part / 6
        looser = (nearest.mean(axis=1) < nearest.mean(axis=1)[each.anchor] - 1e-9).mean()
        assert each.looser == pytest.approx(looser, abs=1e-6)


def test_a_wider_neighbourhood_is_drawn_from() -> None:
    embeddings, recipe = unit(60), Recipe(2, 1.0, 4, 5)
    found = survey(embeddings, recipe, None, 1)
    order = np.argsort(-all_cosines(embeddings), axis=1)
    ranks = [order[each.anchor].tolist().index(row) for each in examples(Neighbours(embeddings), recipe, found, 20, 1)
             for row in each.members]  # fmt: skip
    assert max(ranks) < 15 and min(ranks) < 3 and len(set(ranks)) > 10


def test_max_similarity_leaves_rows_out_and_says_where_too_few_are_left() -> None:
    embeddings = unit(30)
    embeddings[1] = embeddings[0]
    recipe = Recipe(2, 1.0, 4)
    made = {each.anchor: each for each in
            examples(Neighbours(embeddings, 0.9999), recipe, survey(embeddings, recipe, 0.9999, 1), 30, 1)}  # fmt: skip
    assert made[0].excluded == [1] and made[1].excluded == [0]
    assert made[0].excluded_cosines == pytest.approx([1], abs=1e-6)
    assert 1 not in made[0].members and len(made[0].members) == 3
    low = examples(Neighbours(embeddings, -0.9), recipe, survey(embeddings, recipe, -0.9, 1), 3, 1)
    assert all(f"leaves row {each.anchor} " in each.short and len(each.members) < 3 for each in low)


def test_examples_keep_every_limit() -> None:
    texts, images = unit(40), unit(40, 1)
    allowed, recipe = slow_margin(images, texts, 0.8), Recipe(2, 1.0, 4)
    limited = Neighbours(texts, skip_nearest=2, margin=Margin(images, texts, 0.8))
    order = np.argsort(-all_cosines(texts), axis=1)
    made = [each for each in examples(limited, recipe, survey(texts, recipe, None, 1), 20, 1) if not each.short]
    for each in made:
        assert each.members == [row for row in order[each.anchor, 2:-1].tolist() if allowed[each.anchor][row]][:3]
    assert len(made) > 5


def test_pairs_are_nearest_neighbours_one_for_each_level() -> None:
    embeddings = unit(300, dimension=32)
    embeddings[7] = embeddings[3]
    cosines, found = all_cosines(embeddings), survey(embeddings, Recipe(2, 1.0, 4), None, 1)
    made = pairs(embeddings, found)
    assert {made[0][0], made[0][1]} == {3, 7} and made[0][2] == pytest.approx(1, abs=1e-6)
    assert len({frozenset(each[:2]) for each in made}) == len(made) > 5
    for row, neighbour, cosine in made:
        assert cosine == pytest.approx(cosines[row].max(), abs=1e-6) == cosines[row, neighbour]
    assert [each[2] for each in made] == sorted((each[2] for each in made), reverse=True)
