"""Arms ranked by their mean scores."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from simclip.study.analysis.ranking import Ranking, base_model_metrics
from tests.study.made_up import by_name, record


def test_arms_are_ranked_against_the_best_control_on_shared_seeds() -> None:
    records = by_name(
        record("control-lr1", 1, 0, 0.50), record("control-lr1", 2, 0, 0.40),
        record("control-lr2", 1, 0, 0.30), record("control-lr2", 2, 0, 0.20),
        record("k4", 1, 0, 0.60), record("k4", 2, 0, 0.80),
        record("k8", 2, 0, 0.44),
        record("k16", 1, 0, 0.9, outcome="failed"),
    )  # fmt: skip
    arms = {arm.name: arm for arm in Ranking(records.values()).arms}
    assert list(arms) == ["k4", "control-lr1", "k8", "control-lr2", "k16"]
    assert arms["k4"].mean == pytest.approx(0.7)
    assert arms["k4"].std == pytest.approx(0.2 / 2**0.5)
    assert arms["k4"].difference == pytest.approx(0.25)
    assert arms["k8"].difference == pytest.approx(0.04)
    assert arms["control-lr1"].difference == 0
    assert arms["control-lr2"].difference == pytest.approx(-0.2)
    assert arms["k16"].mean is None
    assert arms["k16"].scores == {}


def test_equally_good_arms_rank_alike_whichever_ended_first() -> None:
    """A driver adds records as trials end, another command reads them by file name: both confirm the same arms."""
    records = [record("control", 1, 0.2, control=True), *(record(f"arm-{number}", 1, 0.5) for number in (9, 153, 26))]
    for order in itertools.permutations(records):
        assert Ranking(order).names == ["arm-9", "arm-26", "arm-153", "control"]


def test_of_a_loss_the_lowest_is_best() -> None:
    records = by_name(record("control", 1, 9, 2.0, 1.5, mode="min"), record("k4", 1, 9, 1.0, 3.0, mode="min"))
    assert [arm.name for arm in Ranking(records.values()).arms] == ["k4", "control"]
    assert Ranking(records.values()).arms[0].mean == 1.0


def test_not_a_number_is_no_score() -> None:
    records = by_name(record("control", 1, 0, 0.1, 0.2), record("k4", 1, 0, float("nan"), float("nan")))
    assert [arm.name for arm in Ranking(records.values()).arms] == ["control", "k4"]
    assert Ranking(records.values()).arms[1].mean is None


def test_the_base_model_is_epoch_zero() -> None:
    assert base_model_metrics(by_name(record("control", 1, 0.05, 0.1))) == {"metric": 0.05, "val/mean_r1": 0.05}


def test_random_initial_weights_are_averaged_over_seeds_whichever_trial_ended_first() -> None:
    records = [record(arm, seed, 0.1 * seed, 0.5) for arm in ("control", "k4") for seed in (1, 2, 4)]
    random = [replace(each, config=each.config.model_copy(update={"pretrain": True})) for each in records]
    for ended in (random, random[::-1], random[2:]):
        assert base_model_metrics(by_name(*ended))["val/mean_r1"] == pytest.approx(0.7 / 3)
    assert base_model_metrics(by_name(*random)) == base_model_metrics(by_name(*random[::-1]))  # to the bit


def test_nothing_has_no_ranking() -> None:
    assert Ranking().arms == []
