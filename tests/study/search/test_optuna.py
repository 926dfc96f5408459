"""Optuna's suggestions as arms: each once, a share of them plain fine-tuning, and Optuna told what became of them."""

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
from ray.tune.search import Searcher

from simclip.report import write_report
from simclip.study.analysis.write_results import read_results
from simclip.study.search.plan import searcher_of
from simclip.study.search.searchers.optuna import OptunaTrials
from simclip.study.search.space import corner_arms
from simclip.study.search.under_tune import StageSearcher
from simclip.study.spec.arms import Arms, Trial
from simclip.study.store.records import Record
from tests.study.examples import study, trial_of, tuned
from tests.study.in_process import run_here


def optuna_searcher(space, storage, records=None, checkpoints=None):
    return StageSearcher(space, OptunaTrials(space, storage, records), checkpoints)


def simulated(searcher, score, parallel=3):
    """Drive a searcher as Tune does, `parallel` trials at a time, each told at its end; the configs in their order."""
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
            result = {"metric": score(trial_of(config).config), "epoch": config["train"]["epochs"]}
            searcher.on_trial_result(ended, {"metric": 99.0, "epoch": 0})
            searcher.on_trial_result(ended, result)
            searcher.on_trial_complete(ended, {**result, "done": True})


def test_optuna_under_tune_runs_every_arm_once_and_the_control(cluster, tmp_path):
    space = study({"cluster_size": [2, 4], "proportion": [0, 0.5, 1]}, searcher="optuna", trials=50)
    results = tuned(tmp_path, optuna_searcher(space, tmp_path / "optuna.db"), failing="k4-p1")
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
def test_a_quarter_of_the_settings_is_plain_fine_tuning_tuned_by_itself(parallel):
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
    kinds = [*"caaacaaa"] if parallel == 1 else [trial.name[0] for trial in trials]
    assert [trial.name[0] for trial in trials] == kinds and kinds.count("c") == 2 and len(kinds) == 8
    assert {trial.arm.name for trial in trials} == {
        *(f"control-{number:02}" for number in (1, 2)), *(f"arm-{number:02}" for number in range(1, 7))
    }  # fmt: skip
    assert len({trial.config.learning_rate for trial in trials}) == 8
    assert all(trial.seed == 1 and trial.config.weight_decay == 0.2 for trial in trials)
    for arm in (trial for trial in trials if not trial.arm.is_control):
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


def test_a_best_epoch_of_nought_stays_the_best(tmp_path):
    space = study({"cluster_size": [2, 4]}, train={"proportion": 0.5}, searcher="optuna", trials=2)
    searcher = optuna_searcher(space, tmp_path / "o.db")
    for trial_id in ("control", "arm"):
        searcher.suggest(trial_id)
        for epoch, metric in ((0, 99.0), (1, 0.0), (4, -1.0)):
            searcher.on_trial_result(trial_id, {"metric": metric, "epoch": epoch})
        searcher.on_trial_complete(trial_id, {"metric": -1.0, "epoch": 4, "done": True})
    told = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/o.db").trials
    assert [each.value for each in told] == [0]


def test_arms_that_were_stopped_early_count_as_pruned_with_their_last_value(tmp_path):
    space = study({"cluster_size": [2, 4, 8]}, train={"proportion": 0.5}, searcher="optuna", trials=4)
    rows = [{"epoch": epoch, "metric": metric} for epoch, metric in ((0, 99.0), (1, 0.6), (2, 0.5))]
    searcher, stopped = optuna_searcher(space, tmp_path / "o.db"), []
    while (job := searcher.suggest("now")) not in (None, Searcher.FINISHED):
        stops = not job["control"] and len(stopped) < 2
        for row in rows[:-1] if stops else [*rows, {"epoch": 4, "metric": 0.7}]:
            searcher.on_trial_result("now", row)
        searcher.on_trial_complete("now", rows[-1] if stops else {"epoch": 4, "metric": 0.7})
        stopped += [trial_of(job)] if stops else []
    sizes = {trial.config.cluster_size for trial in stopped}

    def told():
        kept = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/o.db").trials
        return {(each.params["cluster_size"], each.state.name, each.value, *each.intermediate_values) for each in kept}

    expected = {(size, "PRUNED", 0.5, 0, 1, 2) for size in sizes}
    assert told() >= expected and len(told()) == 3
    records = {each.name: Record.of(each, rows, outcome="stopped") for each in stopped}
    optuna_searcher(space, tmp_path / "o.db", records)
    assert told() == expected  # rebuilt from the records


def test_optuna_is_told_the_records_whatever_became_of_its_own_state(tmp_path):
    rates = {"learning_rate": {"min": 1e-5, "max": 1e-3}}
    space = study(rates, train={"proportion": 0.5, "cluster_size": 4}, searcher="optuna", trials=6)
    records = {}

    def score(config):
        return -abs(config.learning_rate - 1e-4)

    def recorded(config, outcome):
        trial = trial_of(config)
        rows = [{"epoch": 0, "metric": 0.0}, {"epoch": 1, "metric": score(trial.config)}]
        return Record.of(trial, rows, outcome=outcome, seconds=1.0)

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
    assert len(arms) == len(set(arms)) == 4
    told = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/o.db").trials
    values = sorted(trial.value for trial in told if trial.value is not None)
    assert values == pytest.approx(sorted(score(trial_of(c).config) for c in [*first[:5], *rest] if not c["control"]))


def test_suggestions_that_make_no_training_run_are_drawn_again_and_counted():
    space = study(
        {"cluster_size": {"min": 2, "max": 64}, "proportion": {"min": 0, "max": 1}}, searcher="optuna", trials=20
    )
    searcher = optuna_searcher(space, None)
    configs = simulated(searcher, noisy)
    assert len(configs) == 20 and sum(config["control"] for config in configs) == 1
    assert {0, 1}.isdisjoint(config["train"]["proportion"] for config in configs[1:])
    assert searcher.redrawn > 0


def test_redrawn_settings_are_in_the_results_of_every_run(make_study, tmp_path):
    parameters = {"cluster_size": {"min": 2, "max": 8}, "proportion": {"min": 0.0, "max": 1.0}}
    space = make_study(parameters=parameters, searcher="optuna", trials=4, train={"epochs": 1})
    end, folder = run_here(space, tmp_path)
    assert end.redrawn == read_results(folder.path)["search"]["redrawn"] > 0
    more, folder = run_here(space.model_copy(update={"trials": 6}), tmp_path)
    redrawn = end.redrawn + more.redrawn
    assert read_results(folder.path)["search"]["redrawn"] == redrawn
    assert f"{redrawn} settings made no valid training run" in write_report(folder).read_text()
    drawn = study({"proportion": {"min": 0.0, "max": 1.0}, "cluster_size": [4, 32]}, searcher="random", trials=9)
    assert searcher_of(drawn).redrawn(drawn) > 0
    assert run_here(space, tmp_path)[0].redrawn == 0 and read_results(folder.path)["search"]["redrawn"] == redrawn


def noisy(config):
    return config.proportion


@pytest.mark.parametrize(("done", "more"), [(2, 2), (3, 1), (4, 0), (6, 0)])
def test_controls_of_earlier_versions_are_kept_and_count(done, more):
    """They had one for each arm; a search of six settings now has two of plain fine-tuning and four others."""
    rates = {"learning_rate": {"min": 1e-5, "max": 1e-3}}
    space = study(rates, train={"proportion": 0.5, "cluster_size": 4}, searcher="optuna", trials=6)
    records = {}
    for number in range(done):
        arms = Arms(space).add({"learning_rate": 1e-4 * (1 + number)})
        for trial in (Trial(arm, 1) for arm in arms):
            rows = [{"epoch": epoch, "metric": number / 10} for epoch in range(5)]
            records[trial.name] = Record.of(trial, rows, outcome="finished")
    assert searcher_of(space).wants_more(space, records) == (more > 0)
    rest = simulated(optuna_searcher(space, None, records), noisy)
    assert len(rest) == max(0, 4 - done) and not any(config["control"] for config in rest)
    assert not {config["trial"] for config in rest} & {*records}


def test_optunas_storage_opens_in_its_dashboard(tmp_path):
    space = study({"cluster_size": [2, 4, 8]}, train={"proportion": 0.5}, searcher="optuna", trials=4)
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
