"""Looks at the confirm stage: dropped arms, the log, resuming, extending, running again, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simclip.cli.terminal.study_status import status_lines
from simclip.errors import InputError
from simclip.study.analysis.rescore import rescored
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.resources import resolved
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.look_log import read_looks
from tests.study.in_process import ONE_CPU, run_here
from tests.study.made_up_trials import made_up
from tests.study.watched import Events, figures, interrupt_at
from tune import main

ROOT = Path(__file__).parents[3]
MakeStudy = Callable[..., StudyConfig]


def scores(**gains: float) -> Callable[[Trial], float]:
    """Scores of arms with these gains over plain fine-tuning, with noise of one point."""

    def score(trial: Trial) -> float:
        draw = np.random.default_rng([5, trial.seed, *trial.arm.name.encode()])
        return 0.5 + gains.get(trial.arm.name, 0.0) + draw.normal(0, 0.01)

    return score


@pytest.fixture
def make(make_study: MakeStudy) -> Callable[..., StudyConfig]:
    return lambda seeds, **confirm: make_study(confirm={"arms": 2, "seeds": seeds, **confirm})


def seeds_by_arm(end) -> dict[str, int]:
    confirmed = [record.arm for record in end.records.values() if record.stage == "confirm"]
    return {arm: confirmed.count(arm) for arm in sorted(set(confirmed))}


def test_a_crippled_arm_stops_at_the_first_look_and_the_other_goes_to_the_last(make, tmp_path: Path) -> None:
    events = Events()
    end, folder = made_up(make([3, 5, 6]), tmp_path, scores(k2=-0.3), [events])
    assert seeds_by_arm(end) == {"control": 6, "k2": 3, "k4": 6}
    assert [len(asked) for asked, _ in events.confirmed] == [9, 4, 2]
    log = read_looks(folder.looks)
    assert log.plan == {"seeds": [3, 5, 6], "margin": None, "metric": "val/mean_r1"}
    words = [{name: arm["word"] for name, arm in look["arms"].items()} for look in log.looks]
    assert words == [{"k2": "worse", "k4": "undecided"}, {"k4": "undecided"}, {"k4": "undecided"}]
    confirmed = json.loads((folder.path / layout.RESULTS).read_text())["confirm"]
    assert confirmed["complete"] and [look["seeds"] for look in confirmed["looks"]["taken"]] == [3, 5, 6]
    assert {arm["name"]: arm["look"] for arm in confirmed["arms"]} == {"control": None, "k2": 3, "k4": 6}


#: An arm that learns nothing, and one that learns as plain fine-tuning does.
CRIPPLED = {
    "metric": "val/loss",
    "parameters": {
        "arm": {"values": [{"cluster_size": 2, "learning_rate": 1e-3}, {"cluster_size": 4, "learning_rate": 1e-9}]}
    },
    "confirm": {"arms": 2, "seeds": [3, 4]},
}


def check_crippled(folder: StudyFolder) -> None:
    """The crippled arm, which was trained like the others, ended at the first look; the other went to the last."""
    results = StudyResults.read(folder)
    looks = results.looks
    assert looks is not None and [look.seeds for look in looks.taken] == [3, 4] and looks.next is None
    first, last = ({("lr1e-09" in name): arm.word for name, arm in look.arms.items()} for look in looks.taken)
    assert first == {True: "worse", False: "undecided"} and True not in last
    confirmed = [record.arm for record in results.confirm.values() if record.outcome == "finished"]
    assert sorted(confirmed.count(arm) for arm in {*confirmed}) == [3, 4, 4]
    assert read_looks(folder.looks).plan == {"seeds": [3, 4], "margin": None, "metric": "val/loss"}


def test_real_training_stops_a_crippled_arm_at_the_first_look(make_study: MakeStudy, tmp_path: Path) -> None:
    _, folder = run_here(make_study(**CRIPPLED), tmp_path)
    check_crippled(folder)


@pytest.mark.slow
def test_a_command_with_results_in_a_bucket_stops_a_crippled_arm(
    make_study: MakeStudy, s3: dict[str, str], tmp_path: Path
) -> None:
    make_study(**CRIPPLED)
    place, environment = f"s3://studies/{tmp_path.name}", {**os.environ, **s3}
    command = [sys.executable, "tune.py", "run", str(tmp_path / "tiny.yaml"), "--results", place]
    end = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert end.returncode == 0, end.stdout[-2000:] + end.stderr[-2000:]
    assert "Look at 3 seeds: " in end.stdout
    check_crippled(StudyFolder.at(f"{place}/tiny"))


def test_status_tells_the_looks_and_the_next_one(make, tmp_path: Path) -> None:
    made_up(make([3, 5]), tmp_path, scores(k2=-0.3), [Events(interrupt_at("k4-s1003", 2))])
    said = [*status_lines(StudyFolder(tmp_path / "tiny"))]
    assert "Look at 3 seeds: k4 undecided, k2 worse. Its level was 1.8%." in said
    assert "Next look at 5 seeds: k4." in said


def test_a_study_in_which_all_is_decided_stops(make, tmp_path: Path) -> None:
    end, _ = made_up(make([3, 5], margin="20%"), tmp_path, scores(k2=-0.3))
    assert seeds_by_arm(end) == {"control": 3, "k2": 3, "k4": 3}
    assert {arm.name: arm.word for arm in end.results.verdict.arms} == {
        "control": None, "k2": "worse", "k4": "no different",
    }  # fmt: skip


def test_an_interrupted_look_goes_on_and_the_log_only_grows(make, tmp_path: Path) -> None:
    study, score = make([3, 4]), scores()
    whole, there = made_up(study, tmp_path / "whole", score)
    first, folder = made_up(study, tmp_path, score, [Events(interrupt_at("k2-s1003", 2))])
    before = folder.looks.read_text()
    assert first.interrupted and len(read_looks(folder.looks).looks) == 1
    events = Events()
    second, _ = made_up(study, tmp_path, score, [events])
    assert figures(second) == figures(whole)
    assert folder.looks.read_text().startswith(before) and folder.looks.read_text() == there.looks.read_text()
    assert "k2-s1002" not in events.started
    again = Events()
    made_up(study, tmp_path, score, [again])
    assert again.started == [] and folder.looks.read_text() == there.looks.read_text()


def test_a_study_that_is_extended_says_what_that_costs(make, tmp_path: Path) -> None:
    _, folder = made_up(make(3), tmp_path, scores())
    folder.looks.unlink()  # as in results of earlier versions
    end, _ = made_up(make(4), tmp_path, scores())
    looks = StudyResults.read(folder).looks
    assert looks is not None and [look.seeds for look in looks.taken] == [3, 4]
    assert looks.plan.seeds == (3,) and looks.worst == pytest.approx(0.10)
    assert seeds_by_arm(end) == {"control": 4, "k2": 4, "k4": 4}


def test_results_of_earlier_versions_are_judged_anew_without_a_trial(make, tmp_path: Path) -> None:
    """They have records alone: no log of looks, no test items, and another verdict in results.json."""
    _, folder = made_up(make(5), tmp_path, scores(k2=-0.3))
    folder.looks.unlink()
    (folder.path / layout.RESULTS).write_text('{"confirm": {"arms": [{"name": "k2", "verdict": "x", "p": 0.2}]}}')
    before = {path: path.read_bytes() for path in folder.trials.iterdir()}
    assert any(line.startswith("Clusters do not help") or "No arm" in line for line in status_lines(folder))
    events = Events()
    end, _ = made_up(make(5), tmp_path, scores(k2=-0.3), [events])
    assert events.started == [] and {path: path.read_bytes() for path in folder.trials.iterdir()} == before
    assert {arm.name: arm.word for arm in end.results.verdict.arms} == {
        "control": None, "k2": "worse", "k4": "undecided",
    }  # fmt: skip
    assert [look["seeds"] for look in read_looks(folder.looks).looks] == [5]


@pytest.mark.parametrize(
    ("confirm", "said"),
    [
        ("{seeds: [3, 3]}", "confirm.seeds"),
        ("{seeds: [2, 5]}", "confirm.seeds: [2, 5]: the first look needs at least 3 seeds"),
        ("{seeds: 5, margin: 0}", "confirm.margin: 0: expected a difference above 0"),
        ("{seeds: 5, margin: -1%}", "confirm.margin: '-1%' is not a difference of the metric"),
        ("{seeds: 5, margin: 2%}", "confirm.margin: 2% is in percent, but val/loss is not"),
        ("{seeds: [3, 5]}", "confirm.seeds: trials have already run on 4 seeds, too many for a look at 3"),
    ],
)
def test_looks_and_margins_that_cannot_be_are_one_line_and_exit_code_2(
    make, tmp_path: Path, capsys: pytest.CaptureFixture[str], confirm: str, said: str
) -> None:
    made_up(make(4), tmp_path, scores())
    metric = ["metric=val/loss"] if "val/loss" in said else []
    command = ["run", str(tmp_path / "tiny.yaml"), *metric, f"confirm={confirm}", "--results", str(tmp_path)]
    assert main(command) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_failed_trials_that_run_again_are_another_look(make, tmp_path: Path) -> None:
    healthy = scores()
    end, folder = made_up(make(4), tmp_path, lambda trial: None if trial.name == "k2-s1001" else healthy(trial))
    assert end.results.looks.next is None and len(end.failed) == 1
    end, _ = made_up(make(4), tmp_path, healthy, retry_failed=True)
    assert not end.failed and [look.seeds for look in end.results.looks.taken] == [4, 4]
    assert end.results.looks.worst == pytest.approx(0.10)
    assert len(read_looks(folder.looks).looks) == 2


@pytest.mark.parametrize("seeds", [3, [3, 4], [3, 4, 6]])
def test_looks_that_come_too_late_are_refused(make, tmp_path: Path, seeds) -> None:
    _, folder = made_up(make(4), tmp_path, scores())
    with pytest.raises(
        InputError, match=r"confirm.seeds: trials have already run on 4 seeds, too many for a look at 3"
    ):
        StudyFolder(folder.path).check_claim(resolved(make(seeds), ONE_CPU))
    StudyFolder(folder.path).check_claim(resolved(make([4, 6]), ONE_CPU))


def test_a_margin_that_is_changed_later_decides_nothing(make, tmp_path: Path) -> None:
    _, folder = made_up(make(3), tmp_path, scores())
    made_up(make(3, margin="99%"), tmp_path, scores())
    results = StudyResults.read(folder)
    assert results.study.margin == 0.99 and results.looks.plan.margin is None
    assert {arm.word for arm in results.verdict.arms} == {None, "undecided"}


def test_another_metric_is_judged_once_on_what_there_is(make, tmp_path: Path) -> None:
    _, folder = made_up(make([3, 5]), tmp_path, scores(k2=-0.3))
    results = rescored(StudyResults.read(folder), ["metric=val/mean_r1"])
    assert results.verdict.complete and [look.level for look in results.looks.taken] == [0.05]
    assert {arm.name: len(arm.scores) for arm in results.verdict.arms} == {"control": 5, "k2": 3, "k4": 5}


def test_the_budget_of_trials_ends_a_look_before_its_end(make, tmp_path: Path) -> None:
    study = make([3, 5]).model_copy(update={"budget": make(3).budget.model_copy(update={"trials": 11})})
    end, _ = made_up(study, tmp_path, scores())
    assert seeds_by_arm(end) == {"control": 3, "k2": 3, "k4": 2} and end.left_out
    assert end.results.looks.taken == [] and end.results.looks.next == 3


def test_a_damaged_log_is_refused_in_one_line(make, tmp_path: Path) -> None:
    _, folder = made_up(make(3), tmp_path, scores())
    folder.looks.write_text(folder.looks.read_text()[:-20])
    with pytest.raises(InputError, match=r"looks.jsonl: line 2 is damaged") as refused:
        StudyResults.read(folder)
    assert "\n" not in str(refused.value)
