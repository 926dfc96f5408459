"""What a study does, with trials that run in this process: stages, records, checkpoints, losses, interruptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.train.history import Row
from tests.study.in_process import ProcessLost, run_here
from tests.study.watched import Events, alone, figures, interrupt_at
from tests.train.histories import without_clocks

MakeStudy = Callable[..., StudyConfig]


def test_the_search_and_the_confirm_stage_run(make_study: MakeStudy, tmp_path: Path) -> None:
    events = Events()
    end, folder = run_here(make_study(confirm={"arms": 1, "seeds": 2}), tmp_path, [events])
    [(asked, before)] = events.confirmed
    assert sorted(before) == ["control-s1", "k2-s1", "k4-s1"]
    assert events.started == events.ended == [*before, *asked]
    assert len(asked) == 4 and {record.outcome for record in end.records.values()} == {"finished"}
    assert (folder.path / layout.BEST_MODEL).is_dir()
    assert not (folder.path / layout.TUNE).exists() and not (folder.path / layout.UNFINISHED).exists()
    record = end.records["k4-s1"]
    assert without_clocks(record.history) == alone(record.config, tmp_path / "alone")


def test_an_interrupted_study_goes_on(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    whole, _ = run_here(study, tmp_path / "whole")
    first, folder = run_here(study, tmp_path, [Events(interrupt_at("k2-s1", 1))])
    assert first.interrupted and set(first.records) == {"control-s1"}
    again = Events()
    second, _ = run_here(study, tmp_path, [again])
    assert figures(second) == figures(whole)
    assert again.epochs[0] == ("k2-s1", 2)
    assert not list((folder.path / layout.UNFINISHED).glob("*"))


@pytest.mark.parametrize("searcher", ["grid", "optuna"])
def test_lost_trials_go_on_until_it_happens_too_often(make_study: MakeStudy, tmp_path: Path, searcher: str) -> None:
    losses: list[int] = []

    def lose(trial: Trial, row: Row) -> None:
        if trial.name == "k2-s1" or (trial.name == "k4-s1" and row["epoch"] == 2 and not losses):
            losses.extend([row["epoch"]] * (trial.name == "k4-s1"))
            raise ProcessLost(f"lost after epoch {row['epoch']}")

    study = make_study(
        train={"epochs": 5, "proportion": 0.5}, **({"searcher": "optuna", "trials": 3} if searcher == "optuna" else {})
    )
    events = Events(lose)
    end, folder = run_here(study, tmp_path, [events])
    assert [record.trial for record in end.failed] == ["k2-s1"]
    assert (end.failed[0].error or "").startswith("its process was lost 4 times: ")
    assert "ProcessLost" in (folder.logs / "k2-s1.log").read_text()
    assert [epoch for name, epoch in events.epochs if name == "k4-s1"] == [0, 1, 2, 3, 4, 5]
    assert end.records["k4-s1"].outcome == "finished"
