from dataclasses import replace

import pytest

from simclip.cli.terminal.progress_state import ProgressState
from simclip.cli.wording.formatting import Metric, duration, reason
from simclip.study.store.records import Record


class Both:
    """Lets a player tell a state."""

    def __init__(self, state):
        self.trial_started, self.epoch_ended, self.trial_ended = state.start, state.record_epoch, state.end


def test_time_left_follows_the_epochs_seen_so_far(make_study, trials, clock, player):
    study = make_study()
    control, k4, k8 = trials(study).values()
    state = ProgressState(study, clock=clock)
    state.plan([control, k4, k8], 2)
    teller = Both(state)
    assert state.study_left() is None and state.left(state.trials[control.name]) is None
    player.start(teller, control)
    player.epoch(teller, control, 0.2)
    assert state.study_left() is None  # the untouched model's evaluation is no epoch
    player.start(teller, k4)
    player.epoch(teller, control, 0.3)
    left = {name: state.left(each) for name, each in state.trials.items()}
    # An epoch takes 10 s; k4 has been at its first for 10 s already.
    assert left == {"control-s1": 10.0, "k4-s1": 10.0, "k8-s1": 20.0}
    clock.now += 4
    assert state.left(state.trials["control-s1"]) == 6.0
    assert state.study_left() == 26.0  # both places are free in 6 s
    clock.now += 100
    assert state.left(state.trials["control-s1"]) == 0.0
    player.epoch(teller, control, 0.4)
    player.end(teller, control)
    # Besides its two epochs of 10 s the control took 2 s for the untouched model and those 104 s.
    assert state.left(state.trials["k8-s1"]) == 20.0 + 106.0
    state.close()
    assert state.study_left() is None
    assert [each.state for each in state.trials.values()] == ["finished", "interrupted", "waiting"]


@pytest.mark.parametrize("concurrency, left", [(1, 60.0), (2, 40.0), (3, 20.0), (4, 20.0)])
def test_waiting_trials_take_the_first_free_place(make_study, trials, clock, player, concurrency, left):
    study = make_study(sizes=(4, 8, 16))
    first, *others = trials(study).values()
    player.run(Both(ProgressState(study)), first, 0.3, 0.4)
    ended = {first.name: replace(player.records[first.name], seconds=20.0)}  # nothing but its epochs
    state = ProgressState(study, ended, clock)
    state.plan(others, concurrency)
    assert state.study_left() == left
    assert (state.ended, state.total) == (1, 4)


def test_an_arm_s_own_pace_counts_more_than_that_of_others(make_study, trials, clock, player):
    study = make_study(seeds=[1, 2])
    plan = trials(study)
    state = ProgressState(study, clock=clock)
    state.plan(list(plan.values()), 1)
    for name, seconds in (("control-s1", 10.0), ("k4-s1", 30.0)):
        state.start(plan[name])
        for epoch in range(3):
            state.record_epoch(plan[name], {"epoch": epoch, "metric": 0.1, "seconds": seconds if epoch else 1.0})
    left = {name: state.left(state.trials[name]) for name in plan}
    assert (left["control-s2"], left["k4-s2"], left["k8-s1"]) == (20.0, 60.0, 40.0)


def test_a_trial_that_lost_its_process_goes_on_where_its_rows_say(make_study, trials, clock):
    study = make_study()
    trial = trials(study)["k4-s1"]
    state = ProgressState(study, clock=clock)
    state.start(trial)
    for epoch, metric in ((0, 0.2), (1, 0.5), (1, 0.3), (2, 0.4)):
        state.start(trial)
        state.record_epoch(trial, {"epoch": epoch, "metric": metric, "seconds": 1.0})
    this = state.trials[trial.name]
    assert (this.epoch, this.latest, this.best, this.state) == (2, 0.4, 0.4, "running")


def test_an_optuna_search_knows_its_total_and_the_confirm_stages(make_study, trials, clock):
    """Four settings, then two arms and the control on three seeds each."""
    study = make_study(searcher="optuna", trials=4, sizes=(2, 4, 8, 16, 32), confirm={"arms": 2, "seeds": 3})
    state = ProgressState(study, clock=clock)
    state.plan([], 2)
    state.start(trials(make_study())["k4-s1"])
    assert (state.total, state.study_left(), len(state.trials)) == (4 + 9, None, 1)


def test_differences_are_to_the_best_control_on_the_same_seed(make_study, trials, clock, player):
    study = make_study(seeds=[1, 2])
    plan = trials(study)
    state = ProgressState(study, clock=clock)
    teller = Both(state)
    player.run(teller, plan["control-s1"], 0.25, 0.40)
    player.run(teller, plan["k4-s1"], 0.43, 0.41)
    player.run(teller, plan["k4-s2"], 0.43, 0.41)
    player.run(teller, plan["k8-s1"], 0.10, outcome="failed", error="ValueError: no")
    differences = {name: state.difference(each) for name, each in state.trials.items()}
    assert differences.pop("k4-s1") == pytest.approx(0.03)
    assert set(differences.values()) == {None}


def test_shares_are_written_in_percent_and_losses_as_they_are():
    recall, loss = Metric.of("val/mean_r1"), Metric.of("val/loss")
    assert (recall.title, recall.bare(0.4312), recall.formatted(0.4312)) == ("val/mean_r1 %", "43.1", "43.1%")
    assert (loss.title, loss.bare(1.23456), loss.formatted(1.23456)) == ("val/loss", "1.235", "1.235")
    assert [recall.difference(each) for each in (0.012, -0.012, -0.0001, None)] == ["+1.2", "-1.2", "+0.0", ""]
    assert loss.difference(-0.5) == "-0.500" and loss.bare(None) == loss.formatted(None) == ""
    assert Metric.of({"val/mean_r1": 1, "rare/top1": 2}) == Metric("objective", True)
    assert Metric.of({"val/mean_r1": 1, "val/loss": 2}) == Metric("objective", False)
    assert recall.formatted(float("nan")) == "nan%"


def test_durations():
    assert [duration(each) for each in (None, 0, 38.4, 99.4, 100, 3600, 6100, 200_000)] == [
        "",
        "0 s",
        "38 s",
        "99 s",
        "2 min",
        "60 min",
        "1.7 h",
        "2.3 days",
    ]


def test_a_reason_is_one_plain_line(config):
    def record(error):
        return Record(arm="k4", seed=1, control=False, config=config, history=[], outcome="failed", error=error)

    assert reason(record("\x1b[36mray::f()\x1b[39m ValueError: [x]\n of y")) == "ray::f() ValueError: [x] of y"
    assert reason(record(None)) == "no error message"
