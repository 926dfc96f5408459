"""Planned looks: what is due when, who goes on, and what departures from the plan cost."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from simclip.study.analysis.comparison.looks import Look, Looks, Plan, follow
from simclip.study.analysis.comparison.spending import spent_per_look


class Stage:
    """Made-up scores of a control and arms, of which so many seeds have ended."""

    def __init__(self, key: int = 1, seeds: int = 12, **gains: float) -> None:
        draw = np.random.default_rng(key)
        shared = draw.normal(0, 1, seeds)
        gains = {"control": 0.0, **gains}
        self.scores = {name: dict(enumerate(shared + gain + draw.normal(0, 1, seeds))) for name, gain in gains.items()}
        self.failed: set[tuple[str, int]] = set()

    def after(self, over: int | dict[str, int], wanted=(3, 5, 8), plan=None, taken=(), margin=None) -> Looks:
        most = over if isinstance(over, dict) else dict.fromkeys(self.scores, over)
        return follow(
            plan=Plan(plan or wanted, margin),
            wanted=wanted,
            taken=taken,
            arms=[name for name in self.scores if name != "control"],
            control="control",
            mode="max",
            scores=lambda seeds: {
                name: {s: v for s, v in own.items() if s < min(seeds, most[name]) and (name, s) not in self.failed}
                for name, own in self.scores.items()
            },
            items=lambda seeds: None,
            ended=lambda name, seeds: most[name] >= seeds,
        )


def test_the_level_is_spent_by_the_square_of_the_seeds() -> None:
    parts = spent_per_look([3, 5, 8], 0.05)
    assert sum(parts.values()) == pytest.approx(0.05)
    assert parts[3] == pytest.approx(0.05 * 9 / 64) and parts[5] == pytest.approx(0.05 * 16 / 64)
    assert spent_per_look([5], 0.05) == {5: 0.05}


def test_nothing_is_judged_before_a_look_is_due() -> None:
    stage = Stage(k4=50.0, k8=0.0)
    assert stage.after(2).taken == [] and stage.after(2).next == 3
    assert stage.after({"control": 3, "k4": 3, "k8": 2}).taken == []


def test_a_decided_arm_is_dropped_and_the_rest_goes_on() -> None:
    stage = Stage(k4=-50.0, k8=0.1)
    looks = stage.after({"control": 5, "k4": 3, "k8": 5})
    assert [look.seeds for look in looks.taken] == [3, 5] and looks.next == 8
    assert looks.taken[0].arms["k4"].word == "worse" and looks.taken[0].arms["k8"].word == "undecided"
    assert [*looks.taken[1].arms] == ["k8"]
    assert looks.decided["k4"].seeds == 3 and looks.worst == pytest.approx(0.05)


def test_no_look_follows_once_all_arms_are_decided() -> None:
    looks = Stage(k4=-50.0, k8=60.0).after(3)
    assert (len(looks.taken), looks.next) == (1, None)
    assert looks.worst < 0.05


def test_the_last_look_ends_the_stage() -> None:
    looks = Stage(k4=0.1).after(8)
    assert [look.seeds for look in looks.taken] == [3, 5, 8]
    assert (looks.next, looks.taken[-1].arms["k4"].word) == (None, "undecided")


def test_taken_looks_keep_their_words_through_json() -> None:
    stage = Stage(k4=-50.0, k8=0.1)
    first = stage.after(3)
    again = [Look.of(json.loads(json.dumps(asdict(look)))) for look in first.taken]
    assert again == first.taken
    changed = Stage(key=2, k4=50.0, k8=0.1).after({"control": 5, "k4": 3, "k8": 5}, taken=again)
    assert changed.taken[0] == first.taken[0] and changed.decided["k4"].arms["k4"].word == "worse"


def test_an_extension_costs_a_whole_level() -> None:
    stage = Stage(k4=0.1)
    taken = stage.after(5, wanted=(5,)).taken
    looks = stage.after(5, wanted=(9,), plan=(5,), taken=taken)
    assert looks.next == 9 and looks.worst == pytest.approx(0.10)
    # Without a record of the first look, as in results of earlier versions, it is made up for.
    assert [look.seeds for look in stage.after(5, wanted=(9,), plan=(5,)).taken] == [5]


def test_fewer_looks_than_planned_cost_nothing() -> None:
    stage = Stage(k4=0.1)
    taken = stage.after(5, wanted=(3, 5, 8)).taken
    looks = stage.after(5, wanted=(3, 5), plan=(3, 5, 8), taken=taken)
    assert looks.next is None and looks.worst < 0.05


def test_trials_that_failed_and_ran_again_make_another_look() -> None:
    stage = Stage(k4=0.1, k8=0.2)
    stage.failed = {("k4", 2)}
    taken = stage.after(5, wanted=(5,)).taken
    assert stage.after(5, wanted=(5,), taken=taken).taken == taken
    stage.failed = set()
    looks = stage.after(5, wanted=(5,), taken=taken)
    assert [look.seeds for look in looks.taken] == [5, 5] and looks.worst == pytest.approx(0.10)
    waiting = stage.after({"control": 5, "k4": 4, "k8": 5}, wanted=(5,), taken=taken)
    assert waiting.next == 5 and waiting.taken == taken


def test_the_margin_of_the_plan_decides() -> None:
    assert Stage(k4=0.0).after(3, margin=100.0).taken[0].arms["k4"].word == "no different"


def test_two_seeds_are_looked_at_without_a_verdict() -> None:
    looks = Stage(k4=5.0).after(2, wanted=(2,))
    assert (looks.next, looks.taken[0].arms["k4"].word) == (None, None)
