"""ASHA: what it stops, what it never stops, and when it is off."""

import collections

import pytest
from ray import tune
from ray.tune.schedulers import TrialScheduler

from simclip.study.search.asha import uses_asha, why_off
from simclip.study.search.plan import planned_trials
from simclip.study.search.searcher import TrialSource
from simclip.study.search.under_tune import StageSearcher, scheduler
from tests.study.examples import study, tuned


def test_asha_stops_the_worse_arms_but_no_control(cluster, tmp_path):
    asha = study({"cluster_size": [8, 4, 2]}, train={"proportion": 0.5, "epochs": 8}, scheduler="asha")
    stopper = scheduler(asha)
    assert uses_asha(asha) and why_off(asha) is None
    # From the best on; the control, which is the worst, comes last.
    trials = [*planned_trials(asha)[1:], *planned_trials(asha)[:1]]
    limited = tune.search.ConcurrencyLimiter(StageSearcher(asha, TrialSource(trials)), max_concurrent=1)
    epochs = {result.config["arm"]: result.metrics["epoch"] for result in tuned(tmp_path, limited, stopper)}
    assert epochs == {"k8": 8, "k4": 2, "k2": 2, "control": 8}


def test_asha_lets_a_trial_end_at_its_own_last_epoch():
    lengths = study({"epochs": [4, 8], "cluster_size": [2]}, train={"proportion": 0.5}, scheduler="asha")
    stopper = scheduler(lengths)
    decisions = {}
    for epochs, metric, epoch in ((8, 1.0, 2), (4, 0.0, 4), (8, 0.5, 2)):
        trial = collections.namedtuple("Trial", "trial_id config")(
            f"{epochs} {metric}", {"control": False, "train": {"epochs": epochs}}
        )
        stopper.on_trial_add(None, trial)
        decisions[metric] = stopper.on_trial_result(None, trial, {"metric": metric, "epoch": epoch})
    assert decisions == {1.0: TrialScheduler.CONTINUE, 0.0: TrialScheduler.CONTINUE, 0.5: TrialScheduler.STOP}


@pytest.mark.parametrize(
    ("train", "asha", "line"),
    [
        ({}, {}, None),
        (
            {"proportion_warmup": True, "warmup_intervals": 2},
            {},
            "ASHA is off: p of k4 still changes up to epoch 14 of 20, which leaves less than half to save",
        ),
        (
            {"proportion_warmup": True},
            {},
            "ASHA is off: p of k4 still changes up to epoch 19 of 20, which leaves less than half to save",
        ),
        (
            {"proportions": [0.5] * 10 + [1.0] * 10},
            {},
            "ASHA is off: p of k4 still changes up to epoch 11 of 20, which leaves less than half to save",
        ),
        ({"proportions": [0.5] * 9 + [1.0] * 11}, {}, None),
        (
            {},
            {"grace_period": 11},
            "ASHA is off: its grace_period lasts up to epoch 11 of 20, which leaves less than half to save",
        ),
    ],
)
def test_asha_is_off_where_its_grace_would_pass_half_of_the_epochs(train, asha, line):
    with_asha = study(
        {"cluster_size": [4, 8]}, train={"proportion": 0.5, "epochs": 20, **train}, scheduler="asha", asha=asha
    )
    assert why_off(with_asha) == line
    assert (scheduler(with_asha) is None) == (line is not None) == (not uses_asha(with_asha))


def test_the_grace_reaches_beyond_the_warm_up():
    early = study(
        {"cluster_size": [4, 8]}, train={"proportions": [0.5] * 7 + [1.0] * 13, "epochs": 20}, scheduler="asha"
    )
    stopper = scheduler(early)
    trial = collections.namedtuple("Trial", "trial_id config")
    decisions = []
    for name, metric in (("a", 1.0), ("b", 0.0)):
        this = trial(name, {"control": False, "train": {"epochs": 20}})
        stopper.on_trial_add(None, this)
        decisions.append(
            [stopper.on_trial_result(None, this, {"metric": metric, "epoch": epoch}) for epoch in range(9)]
        )
    assert decisions[0] == [TrialScheduler.CONTINUE] * 9
    assert decisions[1] == [TrialScheduler.CONTINUE] * 8 + [TrialScheduler.STOP]


def test_no_scheduler_where_none_is_wanted():
    plain = study({"cluster_size": [4]})
    assert (scheduler(plain), why_off(plain), uses_asha(plain)) == (None, None, False)
