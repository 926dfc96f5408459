"""Planned trials, and those that come back."""

from ray.tune.search import Searcher

from simclip.study.search.plan import planned_trials
from simclip.study.search.searcher import TrialSource
from simclip.study.search.under_tune import StageSearcher
from tests.study.examples import study, trial_of, tuned


def test_planned_trials_run_once_each_in_order(cluster, tmp_path):
    space = study({"cluster_size": [4, 8], "proportion": [0.5]}, seeds=[1, 2])
    trials = planned_trials(space)
    results = tuned(tmp_path, StageSearcher(space, TrialSource(trials)))
    assert [trial_of(result.config) for result in results] == trials
    assert all(result.metrics["epoch"] == 4 for result in results)


def test_a_lost_trial_comes_back_before_new_ones(tmp_path):
    space = study({"cluster_size": [4, 8]}, train={"proportion": 0.5})
    control, *arms = planned_trials(space)
    searcher = StageSearcher(space, TrialSource([control, *arms]))
    assert searcher.suggest("1")["trial"] == control.name
    searcher.on_trial_complete("1", error=True)
    searcher.again(control, tmp_path)
    back = searcher.suggest("2")
    assert (back["trial"], back["checkpoint"]) == (control.name, str(tmp_path))
    assert [searcher.suggest(each)["trial"] for each in ("3", "4")] == [arm.name for arm in arms]
    assert searcher.suggest("5") is None  # one of those that run could still come back
    for each in ("2", "3", "4"):
        searcher.on_trial_complete(each)
    assert searcher.suggest("5") == Searcher.FINISHED
