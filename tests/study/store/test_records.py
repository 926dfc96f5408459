"""Records are written whole and read back, those of earlier versions too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from simclip.study.analysis.results import StudyResults
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.single_run import single_run
from simclip.study.spec.study import Resources
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_all, read_records
from simclip.train.config import TrainConfig
from tests.study.made_up import history, record


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
    trial = Trial(Arm("k4", TrainConfig(), is_control=False), 1500)
    for stage in ("search", "confirm"):
        Record.of(replace(trial, stage=stage), history(0.1)).write(tmp_path)
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
    old = {key: value for key, value in json.loads(head).items() if key not in ("stage", "crc32")}
    path.write_text("\n".join([json.dumps(old), *lines, ""]))


def test_the_device_of_a_trial_is_on_record(tmp_path: Path) -> None:
    path = tmp_path / "k4-s1.jsonl"
    replace(record("k4", 1, 0.1, 0.2), device="NVIDIA A100-SXM4-80GB").write(tmp_path)
    assert json.loads(path.read_text().splitlines()[0])["device"] == "NVIDIA A100-SXM4-80GB"
    assert read_all(tmp_path)["k4-s1"].device == "NVIDIA A100-SXM4-80GB"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[0]["device"], lines[0]["crc32"]  # as an earlier version wrote it
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_all(tmp_path)["k4-s1"].device is None
