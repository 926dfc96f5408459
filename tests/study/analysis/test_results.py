"""What StudyResults says about records that are made up."""

from __future__ import annotations

from pathlib import Path

from simclip.study.analysis.results import StudyResults
from simclip.study.spec.study import Confirm, StudyConfig
from simclip.study.store.folder import StudyFolder
from tests.study.made_up import by_name, record

TWO_SEEDS = StudyConfig(name="s", seeds=[1, 2], confirm=Confirm(arms=1, seeds=2))
RECORDS = by_name(
    record("control", 1, 0.1, 0.3), record("control", 2, 0.1, 0.3),
    record("k4", 1, 0.1, 0.4), record("k4", 2, 0.1, 0.6),
    record("k8", 1, 0.1, 0.9, outcome="failed"), record("k8", 2, 0.1, 0.9, outcome=None),
    record("control", 1000, 0.2, 0.3), record("k4", 1000, 0.2, 0.5), record("k4", 1001, 0.2, outcome=None),
)  # fmt: skip


def test_records_are_told_apart_by_stage_and_by_whether_they_have_ended() -> None:
    results = StudyResults(TWO_SEEDS, RECORDS)
    assert set(results.ended) == set(RECORDS) - {"k8-s2", "k4-s1001"}
    assert set(results.search) == {"control-s1", "control-s2", "k4-s1", "k4-s2", "k8-s1"}
    assert set(results.of_stage("search")) == {*results.search, "k8-s2"}
    assert set(results.confirm) == {"control-s1000", "k4-s1000"}
    assert set(results.of_stage("confirm")) == {*results.confirm, "k4-s1001"}


def test_seeds_that_a_study_no_longer_has_are_left_out() -> None:
    study = StudyConfig(name="s", seeds=[2], confirm=None)
    results = StudyResults(study, RECORDS)
    assert set(results.search) == {"control-s2", "k4-s2"}
    assert results.confirm == {}
    assert set(results.ended) == set(StudyResults(TWO_SEEDS, RECORDS).ended)


def test_results_are_read_from_a_folder_or_its_path(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.claim(TWO_SEEDS)
    for each in RECORDS.values():
        folder.write(each)
    for place in (folder, tmp_path / "s", str(tmp_path / "s")):
        results = StudyResults.read(place)
        assert results.study == TWO_SEEDS
        assert set(results.records) == set(RECORDS)
        assert results.ended == StudyResults(TWO_SEEDS, RECORDS).ended


def test_properties_are_computed_once() -> None:
    results = StudyResults(TWO_SEEDS, RECORDS)
    assert results.verdict is not None and results.verdict is results.verdict
    assert results.best is results.best
    assert results.ranking is results.ranking


def test_figures_follow_from_the_records() -> None:
    results = StudyResults(TWO_SEEDS, RECORDS)
    assert [arm.name for arm in results.ranking] == ["k4", "control", "k8"]
    assert [arm.name for arm in results.finished_arms] == ["k4", "control"]
    assert [arm.name for arm in results.contenders] == ["control", "k4"]
    assert results.control is not None and results.control.name == "control"
    assert results.arm_means == {"control": 0.3, "k4": 0.5}
    assert results.base_model == {"metric": 0.2, "val/mean_r1": 0.2}
    assert results.spent.finished.trials == 6
    assert results.best is not None
    assert (results.best.record.trial, results.best.stage) == ("k4-s1", "search")  # not every contender is confirmed


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


def test_only_ended_trials_of_the_search_are_scored() -> None:
    records = {
        "finished": record("a", 1, 9.0, 0.5),
        "stopped": record("b", 1, 9.0, 0.5, outcome="stopped"),
        "failed": record("c", 1, 9.0, 0.5, outcome="failed"),
        "running": record("d", 1, 9.0, 0.5, outcome=None),
        "untrained": record("e", 1, 9.0),
        "confirm": record("a", 1000, 9.0, 0.5),
    }
    assert [(each.arm, score) for each, score in StudyResults(TWO_SEEDS, records).scored] == [("a", 0.5), ("b", 0.5)]


def test_no_trial_has_begun() -> None:
    results = StudyResults(TWO_SEEDS, {})
    assert (results.ranking, results.contenders, results.verdict, results.best) == ([], [], None, None)
    assert (results.base_model, results.scored, results.control) == ({}, [], None)
