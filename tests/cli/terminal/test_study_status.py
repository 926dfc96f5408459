"""`python tune.py status` on results of every kind, without any cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from simclip.cli.terminal.study_status import status_lines
from simclip.errors import InputError
from simclip.report import write_report
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.cluster import own_folder
from simclip.study.execution.ownership import COMMAND, JOB, LOCK, Owner
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_records
from tune import main

MakeStudy = Callable[..., StudyConfig]
Trials = Callable[[StudyConfig], dict[str, Trial]]


def record_of(trial: Trial, *metrics: float, outcome: str | None = "finished") -> Record:
    rows = [
        {"epoch": epoch, "metric": metric, "val/mean_r1": metric, "seconds": 1800.0}
        for epoch, metric in enumerate((0.2, *metrics))
    ]
    return Record.of(trial, rows, outcome=outcome, seconds=3600.0, started=7200.0)


@pytest.fixture
def folder(tmp_path: Path, make_study: MakeStudy, trials: Trials) -> StudyFolder:
    """A control that has finished, an arm in its second epoch, one that has not begun."""
    folder, study = StudyFolder(tmp_path / "toy"), make_study()
    folder.claim(study)
    control, begun, _ = trials(study).values()
    record_of(control, 0.3, 0.4).write(folder.trials)
    record_of(begun, 0.45, outcome=None).write(folder.trials)
    return folder


def finish(folder: StudyFolder, trials: Trials, outcome: str = "finished") -> None:
    for trial, score in zip(trials(folder.study()).values(), (0.4, 0.5, 0.45), strict=True):
        record_of(trial, 0.3, score, outcome="finished" if trial.arm.is_control else outcome).write(folder.trials)


def text(folder: StudyFolder) -> str:
    return "\n".join(status_lines(folder))


def test_a_study_that_runs(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_folder(folder.path, shared=False):
        said = text(folder)
    assert f"toy: running (process {os.getpid()} on " in said
    assert "Trials: 1 finished, 1 in progress, 1 not begun" in said
    assert "k4-s1: epoch 1/2, best 45.0%" in said
    assert "Best arm: control, val/mean_r1 40.0%." in said  # one that has finished, not the luckiest epoch
    assert "Cost: 1 trial in 60 min, 1 CPU hours" in said
    assert "To resume" not in said

    monkeypatch.setenv(JOB, "toy-12ab")
    with own_folder(folder.path, shared=False):
        assert "toy: running (Ray job toy-12ab, process" in text(folder)


def test_an_interrupted_study_says_how_to_go_on(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["tune.py", "run", "toy.yaml", "--fresh"])
    with own_folder(folder.path, shared=False):
        pass
    said = text(folder)
    assert "toy: interrupted (last run: process" in said
    assert "Trials: 1 finished, 1 unfinished, 1 not begun" in said
    assert said.endswith("To resume: python tune.py run toy.yaml")  # --fresh would begin anew
    monkeypatch.chdir(tmp_path)
    owner = Owner("host", 1, None, 0.0, "python tune.py run toy.yaml", "/a folder")
    (folder.path / LOCK).write_text(json.dumps(asdict(owner)))
    assert text(folder).endswith("To resume: cd '/a folder' && python tune.py run toy.yaml")

    monkeypatch.setenv(COMMAND, "python tune.py submit toy.yaml --results /shared")
    monkeypatch.setenv(JOB, "toy-12ab")
    with own_folder(folder.path, shared=False):
        pass
    assert text(folder).endswith("To resume: python tune.py submit toy.yaml --results /shared")


def test_a_study_that_has_ended(folder: StudyFolder, trials: Trials) -> None:
    with own_folder(folder.path, shared=False) as done:
        finish(folder, trials)
        done()
    said = text(folder)
    assert "toy: finished (last run: process" in said
    assert "Trials: 3 finished\n" in said
    assert "Best arm: k4, val/mean_r1 50.0%, +10.0 points against the control." in said
    assert f"Report: python tune.py report {folder.path}" in said


def test_without_a_lock_the_records_tell(folder: StudyFolder, trials: Trials) -> None:
    """As of results that were copied from elsewhere."""
    assert "toy: interrupted\n" in text(folder)
    assert f"To resume: python tune.py run {folder.file} --results {folder.path.parent}" in text(folder)
    finish(folder, trials, outcome="failed")
    assert f"Failed:\n  k4, seed 1: no error message\n    {folder.logs / 'k4-s1.log'}\n  k8, seed 1:" in text(folder)
    again = f"python tune.py run {folder.file} --results {folder.path.parent} --retry-failed"
    assert f"\nTo try again: {again}\n" in text(folder)
    assert "toy: finished\nTrials: 1 finished, 2 failed\n" in text(folder)
    assert "Best arm: control, val/mean_r1 40.0%" in text(folder)


def test_results_in_a_bucket_do_not_tell_whether_a_study_runs(
    tmp_path: Path, make_study: MakeStudy, trials: Trials
) -> None:
    folder, study = StudyFolder.at((tmp_path / "bucket" / "toy").as_uri()), make_study()
    folder.claim(study)
    folder.write(record_of(trials(study)["control-s1"], 0.3, 0.4))
    assert "toy: unfinished; results in a bucket do not tell whether the study is running" in text(folder)
    assert f"To resume: python tune.py run STUDY --results {(tmp_path / 'bucket').as_uri()}" in text(folder)


def test_trials_that_confirm_are_to_come(tmp_path: Path, make_study: MakeStudy, trials: Trials) -> None:
    study = make_study(confirm={"arms": 1, "seeds": 3})
    folder = StudyFolder(tmp_path / "toy")
    folder.claim(study)
    finish(folder, trials)
    assert "toy: interrupted\nTrials: 3 finished, 6 not begun\n" in text(folder)
    for trial in confirm_trials(StudyResults(study, read_records(folder.trials))):
        replace(record_of(trial, 0.4, 0.5), started=20000.0).write(folder.trials)
    assert "toy: finished\nTrials: 9 finished\n" in text(folder)


def test_a_confirm_stage_that_cannot_happen_is_explained(tmp_path: Path, make_study: MakeStudy, trials: Trials) -> None:
    folder = StudyFolder(tmp_path / "toy")
    folder.claim(make_study(confirm={"arms": 1, "seeds": 3}))
    finish(folder, trials, outcome="stopped")
    assert "\nNo confirm stage: no arm with clusters has finished all of its seeds" in text(folder)
    assert "not confirmed" in write_report(folder).read_text(encoding="utf-8")


def test_the_command(folder: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(folder.path)]) == 0
    assert capsys.readouterr().out.startswith("toy: interrupted\n")
    (tmp_path / "empty").mkdir()
    assert main(["status", str(tmp_path / "empty")]) == 2
    assert "study.yaml" in capsys.readouterr().err
    with pytest.raises(InputError):
        text(StudyFolder(tmp_path))


def test_while_no_arm_has_finished_all_seeds_the_best_mean_leads(
    tmp_path: Path, make_study: MakeStudy, trials: Trials
) -> None:
    folder, study = StudyFolder(tmp_path / "seeds"), make_study(seeds=[1, 2])
    folder.claim(study)
    for score, trial in zip((0.4, 0.5), [each for each in trials(study).values() if each.seed == 1], strict=False):
        record_of(trial, 0.3, score).write(folder.trials)
    assert f"Best arm so far: {trial.arm.name}, val/mean_r1 50.0% (1 of 2 seeds)" in text(folder)
