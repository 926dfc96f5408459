"""Records are written whole and read back; results follow from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from simclip.study.analysis.ranking import base_model_metrics, rank_arms
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.model_retention import drop_trailing_models
from simclip.study.spec.arms import Arm, Trial, trial_of, tune_config
from simclip.study.spec.single_run import single_run
from simclip.study.spec.study import Confirm, Resources, StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Outcome, Record, read_all, read_records
from simclip.study.store.storage import Disk
from simclip.train.config import TrainConfig
from simclip.train.history import Row

FAR = float("nan")
TWO_SEEDS = StudyConfig(name="s", seeds=[1, 2])


def history(*metrics: float) -> list[Row]:
    return [{"epoch": epoch, "metric": each, "val/mean_r1": each, "seconds": 1.0} for epoch, each in enumerate(metrics)]


def record(
    arm: str, seed: int, *metrics: float, outcome: Outcome | None = "finished", mode: str = "max", control: bool = False
) -> Record:
    config = TrainConfig(epochs=2, seed=seed, mode=mode)
    return Record(
        arm=arm,
        seed=seed,
        control=control or arm.startswith("control"),
        config=config,
        history=history(*metrics),
        stage="search" if seed < 1000 else "confirm",
        outcome=outcome,
        seconds=3.5,
    )


def by_name(*records: Record) -> dict[str, Record]:
    return {each.trial: each for each in records}


def test_a_record_reads_back_as_written(tmp_path: Path) -> None:
    ended = record("k4", 1, 0.1, 0.3, 0.2)
    running = record("k8", 1, 0.1, 0.3, outcome=None)
    for each in (ended, running):
        each.write(tmp_path)
    assert read_records(tmp_path) == {"k4-s1": ended}
    lines = [json.loads(line) for line in (tmp_path / "k4-s1.jsonl").read_text().splitlines()]
    assert lines[-1]["score"] == 0.3
    assert lines[-1]["best_epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["k4-s1.jsonl", "k8-s1.jsonl"] or len(list(tmp_path.iterdir())) == 2


def test_the_stage_of_a_trial_is_on_record_whatever_its_seed(tmp_path: Path) -> None:
    trial = Trial(Arm("k4", {}, TrainConfig(), is_control=False), 1500)
    for stage in ("search", "confirm"):
        staged = trial_of(tune_config(replace(trial, stage=stage)))
        Record.of(staged, history(0.1)).write(tmp_path)
        assert read_all(tmp_path)["k4-s1500"].stage == stage


def test_records_of_earlier_versions_tell_their_stage_by_the_seed(tmp_path: Path) -> None:
    trials = tmp_path / "trials"
    for seed in (999, 1000):
        record("k4", seed, 0.1, 0.2).write(trials)
        _without_stage(trials / f"k4-s{seed}.jsonl")
    assert {each.seed: each.stage for each in read_all(trials).values()} == {999: "search", 1000: "confirm"}


def test_a_single_run_has_no_confirm_trials(tmp_path: Path) -> None:
    single = single_run("run", TrainConfig(epochs=1, seed=1500), Resources())
    folder = StudyFolder(tmp_path / "run")
    folder.claim(single)
    (trial,) = single.replicates
    folder.write(Record.of(trial, history(0.1, 0.2), outcome="finished"))
    _without_stage(folder.trials / f"{trial.name}.jsonl")
    for records in (read_all(folder.trials), {trial.name: Record.of(trial, history(0.1, 0.2), outcome="finished")}):
        assert [each.stage for each in records.values()] == ["search"]
        results = StudyResults(single, records)
        assert list(results.search) == [trial.name]
        assert results.confirm == {}
        best = results.best
        assert best and (best.record.trial, best.stage) == (trial.name, "search")
        assert [score for _, score in results.scored] == [0.2]


def _without_stage(path: Path) -> None:
    """Write a record as earlier versions did."""
    head, *lines = path.read_text().splitlines()
    old = {key: value for key, value in json.loads(head).items() if key != "stage"}
    path.write_text("\n".join([json.dumps(old), *lines, ""]))


def test_arms_are_ranked_against_the_best_control_on_shared_seeds() -> None:
    records = by_name(
        record("control-lr1", 1, 0, 0.50), record("control-lr1", 2, 0, 0.40),
        record("control-lr2", 1, 0, 0.30), record("control-lr2", 2, 0, 0.20),
        record("k4", 1, 0, 0.60), record("k4", 2, 0, 0.80),
        record("k8", 2, 0, 0.44),
        record("k16", 1, 0, 0.9, outcome="failed"),
    )  # fmt: skip
    arms = {arm.name: arm for arm in rank_arms(records)}
    assert list(arms) == ["k4", "control-lr1", "k8", "control-lr2", "k16"]
    assert arms["k4"].mean == pytest.approx(0.7)
    assert arms["k4"].std == pytest.approx(0.2 / 2**0.5)
    assert arms["k4"].difference == pytest.approx(0.25)
    assert arms["k8"].difference == pytest.approx(0.04)
    assert arms["control-lr1"].difference == 0
    assert arms["control-lr2"].difference == pytest.approx(-0.2)
    assert arms["k16"].mean is None
    assert arms["k16"].scores == {}
    best = StudyResults(TWO_SEEDS, records).search_best
    assert best is not None
    assert best.name == "k4"


def test_of_a_loss_the_lowest_is_best() -> None:
    records = by_name(record("control", 1, 9, 2.0, 1.5, mode="min"), record("k4", 1, 9, 1.0, 3.0, mode="min"))
    assert [arm.name for arm in rank_arms(records)] == ["k4", "control"]
    assert rank_arms(records)[0].mean == 1.0


def test_not_a_number_is_no_score() -> None:
    records = by_name(record("control", 1, 0, 0.1, 0.2), record("k4", 1, 0, FAR, FAR))
    assert [arm.name for arm in rank_arms(records)] == ["control", "k4"]
    assert rank_arms(records)[1].mean is None


def test_only_an_arm_that_finished_all_its_seeds_is_best() -> None:
    records = by_name(
        record("control", 1, 0, 0.1), record("control", 2, 0, 0.1),
        record("k4", 1, 0, 0.9),
        record("k8", 1, 0, 0.9), record("k8", 2, 0, 0.9, outcome="stopped"),
    )  # fmt: skip
    best = StudyResults(TWO_SEEDS, records).search_best
    assert best is not None
    assert best.name == "control"
    assert StudyResults(TWO_SEEDS, {}).search_best is None
    assert rank_arms({}) == []


def test_the_untouched_model_is_epoch_zero() -> None:
    assert base_model_metrics(by_name(record("control", 1, 0.05, 0.1))) == {"metric": 0.05, "val/mean_r1": 0.05}


def test_models_stay_for_leading_arms_and_for_unsettled_ones(tmp_path: Path) -> None:
    records = by_name(
        record("control", 1, 0, 0.1), record("control", 2, 0, 0.1),
        record("k4", 1, 0, 0.5), record("k4", 2, 0, 0.5),
        record("k8", 1, 0, 0.01),
    )  # fmt: skip
    for name in records:
        (tmp_path / "models" / name).mkdir(parents=True)
    study = StudyConfig(name="s", seeds=[1, 2], keep_models=1, confirm=Confirm(arms=1, seeds=2))
    drop_trailing_models(Disk(str(tmp_path)), StudyResults(study, records))
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"k4-s1", "k8-s1"}


def test_of_the_confirm_stage_the_first_seeds_models_stay(tmp_path: Path) -> None:
    records = by_name(*(record(arm, seed, 0, 0.1) for arm in ("control", "k4") for seed in (1, 1000, 1001)))
    for name in records:
        (tmp_path / "models" / name).mkdir(parents=True)
    study = StudyConfig(name="s", confirm=Confirm(arms=1, seeds=2))
    drop_trailing_models(Disk(str(tmp_path)), StudyResults(study, records))
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left == {"control-s1", "k4-s1", "control-s1000", "k4-s1000"}
