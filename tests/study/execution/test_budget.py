"""The search stops while there is room to confirm."""

from __future__ import annotations

import pytest

from simclip.study.execution.budget import Budget, TrialsLeft, trials_left
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import Budget as Limits
from simclip.study.spec.study import Confirm, Resources, StudyConfig
from simclip.study.store.records import Record
from tests.study.examples import study as a_study

HOUR = 3600.0
GRID = {"cluster_size": [2, 4, 8]}
CONFIRM = {"arms": 2, "seeds": 3}
RANGES = {"learning_rate": {"min": 1e-5, "max": 1e-3}, "cluster_size": {"min": 2, "max": 8}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def searched(limits: Limits, concurrency: int = 1, confirm: Confirm | None = None, gpus: float = 0.0) -> int:
    """How many of 18 trials of an hour each a search begins, so many at a time."""
    study = StudyConfig(
        name="s",
        train={"batch_size": 1024, "proportion": 1.0},
        parameters={"cluster_size": {"values": [2, 4, 8, 16, 32, 64, 128, 256]}},
        seeds=[1, 2],
        confirm=confirm,
        budget=limits,
        resources=Resources(cpus=1, gpus=gpus),
    )
    clock, records, running, begun = Clock(), {}, [], 0
    budget = Budget(study, records, concurrency, clock)
    for trial in planned_trials(study):
        if len(running) == concurrency:
            clock.now += HOUR
            for each in running:
                records[each.name] = Record.of(each, [], outcome="finished", seconds=HOUR)
            running = []
        if not budget.allows_another():
            break
        budget.begin(trial)
        running.append(trial)
        begun += 1
    return begun


def test_without_limits_all_trials_run() -> None:
    assert searched(Limits()) == 18


def test_a_number_of_trials() -> None:
    assert searched(Limits(trials=5)) == 5


@pytest.mark.parametrize(
    ("trials", "arms", "begun"),
    [
        (8, 1, 4),  # the control and an arm on two seeds, and twice two to confirm
        (9, 1, 4),  # a further arm would be cut short
        (10, 1, 6),
        (10, 2, 4),
        (12, 2, 6),
        (18, 1, 14),
        (99, 2, 18),
        (7, 1, 7),  # too few for both stages: the search has them all
    ],
)
def test_a_number_of_trials_leaves_room_for_the_confirm_stage(trials: int, arms: int, begun: int) -> None:
    assert searched(Limits(trials=trials), confirm=Confirm(arms=arms, seeds=2)) == begun


def test_no_more_trials_than_the_budget_are_left_to_confirm() -> None:
    study = StudyConfig(name="s", budget=Limits(trials=5))
    arm = Arm("k4", study.train, False)
    records = {f"k4-s{seed}": Record.of(Trial(arm, seed, "confirm"), [], outcome="finished") for seed in (1000, 1001)}
    budget = Budget(study, records, 1)
    budget.begin(Trial(arm, 1))
    assert budget.trials_left == 2
    assert Budget(StudyConfig(name="s"), records, 1).trials_left is None


@pytest.mark.parametrize(("concurrency", "begun"), [(1, 6), (2, 12), (3, 18)])
def test_hours_by_the_clock(concurrency: int, begun: int) -> None:
    assert searched(Limits(hours=6), concurrency) == begun


@pytest.mark.parametrize(("confirm", "begun"), [(Confirm(arms=1, seeds=2), 6), (Confirm(arms=2, seeds=2), 4)])
def test_hours_leave_room_for_the_confirm_stage(confirm: Confirm, begun: int) -> None:
    # It takes (arms + 1) x seeds trials, one at a time.
    assert searched(Limits(hours=10), 1, confirm) == begun


def test_gpu_hours_are_those_reserved() -> None:
    assert searched(Limits(gpu_hours=4), 1, gpus=0.5) == 8
    assert searched(Limits(gpu_hours=10), 1, Confirm(arms=1, seeds=2), gpus=1) == 6


def grid(**fields):
    return a_study(GRID, train={"proportion": 0.5}, seeds=[1, 2], confirm=CONFIRM, **fields)


def finished(trials):
    rows = [{"epoch": epoch, "metric": 0.1, "seconds": 1.0} for epoch in range(5)]
    return {trial.name: Record.of(trial, rows, outcome="finished", seconds=10.0) for trial in trials}


def test_what_is_done_is_taken_off() -> None:
    plan = planned_trials(grid())
    assert trials_left(grid(), {}, 10, 2) == TrialsLeft(0, 8, 0, 9)
    assert trials_left(grid(), finished(plan[:5]), 10, 2) == TrialsLeft(5, 3, 0, 9)
    assert trials_left(grid(), finished(plan), 10, 2) == TrialsLeft(8, 0, 0, 9)


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        ({"trials": 13}, TrialsLeft(0, 4, 4, 6)),
        ({"trials": 15}, TrialsLeft(0, 6, 2, 9)),
        ({"trials": 17}, TrialsLeft(0, 8, 0, 9)),
        ({"trials": 5}, TrialsLeft(0, 5, 3, 0)),
        ({"hours": 1.0}, TrialsLeft(0, 8, 0, 9)),
    ],
)
def test_what_the_budget_cuts(budget, left) -> None:
    assert trials_left(grid(budget=budget), {}, 10, 1) == left


def test_hours_cut_a_long_search() -> None:
    left = trials_left(grid(budget={"hours": 12}), {}, 3600, 1)
    assert left.cut > 0 and left.search + left.confirming <= 12


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_sampled_searches_run_as_many_trials_as_they_say(searcher: str) -> None:
    sampled = a_study(RANGES, train={"proportion": 1.0}, searcher=searcher, trials=20, confirm=CONFIRM)
    assert trials_left(sampled, {}, 10, 2) == TrialsLeft(0, 20, 0, 9)
    begun = finished(planned_trials(sampled.model_copy(update={"searcher": "random"}))[:8])
    assert trials_left(sampled, begun, 10, 2) == TrialsLeft(8, 12, 0, 9)
