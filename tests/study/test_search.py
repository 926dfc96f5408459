import collections
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import optuna
import pytest
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from simclip.study.arms import corner_arms, planned_arms, planned_trials, trial_of
from simclip.study.records import Record
from simclip.study.search import PlannedTrials, optuna_searcher, scheduler
from tests.study.examples import study


def run(folder, searcher, stopper=None, failing=""):
    """Tune with a trainable that has p * k for its metric, less 0.1 an epoch, and one arm that fails."""

    def trainable(config):
        train = config["train"]
        if config["arm"] == failing:
            raise RuntimeError("on purpose")
        score = 0 if config["control"] else train["proportion"] * train["cluster_size"]
        for epoch in range(train["epochs"] + 1):
            tune.report({"metric": 99.0 if epoch == 0 else score - 0.1 * epoch, "epoch": epoch})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=stopper, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder), name="run", verbose=0),
    )
    return list(tuner.fit())


def simulated(searcher, score, parallel=3):
    """Drive a searcher as Tune does, `parallel` trials at a time, each with one epoch; the configs in their order."""
    configs, running = [], collections.deque()
    while True:
        trial_id = str(len(configs))
        suggestion = searcher.suggest(trial_id)
        if suggestion not in (None, Searcher.FINISHED):
            configs.append(suggestion)
            running.append((trial_id, suggestion))
        if len(running) == parallel or suggestion in (None, Searcher.FINISHED):
            if not running:
                assert suggestion == Searcher.FINISHED
                return configs
            ended, config = running.popleft()
            result = {"metric": score(trial_of(config).config), "epoch": 1}
            searcher.on_trial_result(ended, {"metric": 99.0, "epoch": 0})
            searcher.on_trial_result(ended, result)
            searcher.on_trial_complete(ended, {**result, "done": True})


def test_planned_trials_run_once_each_in_order(cluster, tmp_path):
    space = study({"cluster_size": [4, 8], "proportion": [0.5]}, seeds=[1, 2])
    trials = planned_trials(space)
    results = run(tmp_path, PlannedTrials(space, trials))
    assert [trial_of(result.config) for result in results] == trials
    assert all(result.metrics["epoch"] == 4 for result in results)


def test_optuna_under_tune_runs_every_arm_once_and_the_control(cluster, tmp_path):
    space = study({"cluster_size": [2, 4], "proportion": [0, 0.5, 1]}, searcher="optuna", trials=50)
    results = run(tmp_path, optuna_searcher(space, tmp_path / "optuna.db"), failing="k4-p1")
    outcomes = {result.config["arm"]: result.error for result in results}
    assert len(outcomes) == len(results)
    assert set(outcomes) == {arm.name for arm in corner_arms(space)}
    assert [name for name, error in outcomes.items() if error] == ["k4-p1"]
    kept = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/optuna.db").trials
    for trial in kept:
        k, p = trial.params["cluster_size"], trial.params["proportion"]
        if (k, p) == (4, 1):
            assert trial.state.name == "FAIL"
        else:  # the best epoch, the untouched model apart
            assert trial.value == pytest.approx(k * p - 0.1)
    assert {
        (trial.params["cluster_size"], trial.params["proportion"]) for trial in kept if trial.params["proportion"]
    } == {
        (2, 0.5),
        (2, 1),
        (4, 0.5),
        (4, 1),
    }


@pytest.mark.parametrize("parallel", [1, 4])
def test_each_optuna_arm_has_its_control_once_and_before_it(parallel):
    space = study(
        {
            "learning_rate": {"min": 1e-6, "max": 1e-3, "distribution": "log_uniform_values"},
            "pair": [{"proportion": 0.5, "similarity": "text"}, {"proportion": 1.0, "similarity": "image"}],
            "cluster_size": {"min": 2, "max": 8, "q": 2, "distribution": "q_uniform"},
            "weight_decay": {"value": 0.2},
        },
        searcher="optuna",
        trials=8,
    )
    configs = simulated(optuna_searcher(space, None), lambda config: config.learning_rate, parallel)
    trials = [trial_of(config) for config in configs]
    assert len(trials) == 16 and len({trial.name for trial in trials}) == 16
    assert all(trial.seed == 1 and trial.config.weight_decay == 0.2 for trial in trials)
    for control, arm in zip(trials[::2], trials[1::2], strict=True):
        assert control.arm.is_control and not arm.arm.is_control
        assert control.config.learning_rate == arm.config.learning_rate
        assert arm.config.cluster_size in (2, 4, 6, 8)
        assert (arm.config.proportion, arm.config.similarity) in ((0.5, "text"), (1.0, "image"))


def test_plain_fine_tuning_can_be_searched_too():
    space = study({"learning_rate": {"min": 1e-6, "max": 1e-3}}, searcher="optuna", trials=5)
    configs = simulated(optuna_searcher(space, None), lambda config: config.learning_rate)
    assert len(configs) == 5 and all(config["control"] for config in configs)


def test_optuna_is_the_same_each_time_and_finds_what_is_better():
    space = study(
        {"learning_rate": {"min": 1e-6, "max": 1e-3, "distribution": "log_uniform_values"}},
        searcher="optuna",
        trials=40,
        mode="min",
    )

    def loss(config):
        return abs(config.learning_rate - 1e-4)

    first, second = (simulated(optuna_searcher(space, None), loss, parallel=1) for _ in range(2))
    assert first == second
    rates = [config["train"]["learning_rate"] for config in first]
    assert sum(abs(rate - 1e-4) for rate in rates[-10:]) < sum(abs(rate - 1e-4) for rate in rates[:10])


def test_a_suggestion_that_repeats_a_running_arm_waits_for_its_score(tmp_path):
    space = study({"cluster_size": [2, 4]}, train={"proportion": 0.5}, searcher="optuna", trials=9)
    searcher = optuna_searcher(space, tmp_path / "o.db")
    configs = simulated(searcher, lambda config: float(config.cluster_size), parallel=8)
    assert sorted(config["arm"] for config in configs) == ["control", "k2", "k4"]
    for trial in optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/o.db").trials:
        assert (trial.state.name, trial.value) == ("COMPLETE", trial.params["cluster_size"])


def test_asha_stops_the_worse_arms_but_no_control(cluster, tmp_path):
    asha = study({"cluster_size": [8, 4, 2]}, train={"proportion": 0.5, "epochs": 8}, scheduler="asha")
    stopper, line = scheduler(asha, planned_arms(asha))
    assert line is None
    # From the best on; the control, which is the worst, comes last.
    trials = [*planned_trials(asha)[1:], *planned_trials(asha)[:1]]
    limited = tune.search.ConcurrencyLimiter(PlannedTrials(asha, trials), max_concurrent=1)
    epochs = {result.config["arm"]: result.metrics["epoch"] for result in run(tmp_path, limited, stopper)}
    assert epochs == {"k8": 8, "k4": 2, "k2": 2, "control": 8}


def test_asha_lets_a_trial_end_at_its_own_last_epoch():
    lengths = study({"epochs": [4, 8], "cluster_size": [2]}, train={"proportion": 0.5}, scheduler="asha")
    stopper, _ = scheduler(lengths, planned_arms(lengths))
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
    stopper, said = scheduler(with_asha, planned_arms(with_asha))
    assert said == line and (stopper is None) == (line is not None)


def test_the_grace_reaches_beyond_the_warm_up():
    early = study(
        {"cluster_size": [4, 8]}, train={"proportions": [0.5] * 7 + [1.0] * 13, "epochs": 20}, scheduler="asha"
    )
    stopper, _ = scheduler(early, planned_arms(early))
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
    assert scheduler(plain, planned_arms(plain)) == (None, None)


def test_optuna_is_told_the_records_whatever_became_of_its_own_state(tmp_path):
    rates = {"learning_rate": {"min": 1e-5, "max": 1e-3}}
    space = study(rates, train={"proportion": 0.5, "cluster_size": 4}, searcher="optuna", trials=6)
    records = {}

    def score(config):
        return -abs(config.learning_rate - 1e-4)

    def recorded(config, outcome):
        trial = trial_of(config)
        rows = [{"epoch": 0, "metric": 0.0}, {"epoch": 1, "metric": score(trial.config)}]
        return Record(trial.arm.name, trial.seed, trial.arm.is_control, trial.config, rows, outcome, 1.0)

    first = simulated(optuna_searcher(space, tmp_path / "o.db"), score)
    for config in first[:5]:
        records[config["trial"]] = recorded(config, "finished")
    records[first[5]["trial"]] = recorded(first[5], None)
    (tmp_path / "o.db").write_bytes(b"torn")

    searcher = optuna_searcher(space, tmp_path / "o.db", records, {first[5]["trial"]: tmp_path})
    rest = simulated(searcher, score)
    assert rest[0]["trial"] == first[5]["trial"]  # what had begun goes on before anything new begins
    assert rest[0]["checkpoint"] == str(tmp_path)
    arms = [config["arm"] for config in [*first[:5], *rest] if not config["control"]]
    assert len(arms) == len(set(arms)) == 6
    told = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/o.db").trials
    values = sorted(trial.value for trial in told if trial.value is not None)
    assert values == pytest.approx(sorted(score(trial_of(c).config) for c in [*first[:5], *rest] if not c["control"]))


def test_a_lost_trial_comes_back_before_new_ones(tmp_path):
    space = study({"cluster_size": [4, 8]}, train={"proportion": 0.5})
    control, *arms = planned_trials(space)
    searcher = PlannedTrials(space, [control, *arms])
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


def test_optunas_storage_opens_in_its_dashboard(tmp_path):
    space = study({"cluster_size": [2, 4, 8]}, train={"proportion": 0.5}, searcher="optuna", trials=3)
    simulated(optuna_searcher(space, tmp_path / "o.db"), lambda config: config.cluster_size / 10)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"sqlite:///{tmp_path}/o.db", "--host", "127.0.0.1", "--port", str(port)]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dashboard:
        try:
            studies = asked(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
            assert [each["study_name"] for each in studies] == ["s"]
            trials = asked(f"http://127.0.0.1:{port}/api/studies/{studies[0]['study_id']}")["trials"]
            assert sorted(trial["values"][0] for trial in trials) == pytest.approx([0.2, 0.4, 0.8])
        finally:
            dashboard.terminate()


def asked(address, seconds=60):
    """What a server answers, once it does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
