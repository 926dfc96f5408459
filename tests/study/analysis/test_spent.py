"""Hours, against a clock that counts every second."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.spent import covered
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Outcome, Record
from simclip.train.config import TrainConfig

HOUR = 3600.0


def record(arm: str, seed: int, outcome: Outcome | None, started: float, hours: float) -> Record:
    return Record(
        arm=arm,
        seed=seed,
        control=False,
        config=TrainConfig(),
        history=[],
        stage="search" if seed < 1000 else "confirm",
        outcome=outcome,
        seconds=hours * HOUR,
        started=1.8e9 + started * HOUR,
    )


def test_hours_by_outcome_and_stage() -> None:
    study = StudyConfig(name="s", resources={"workers": 2, "cpus": 1.5, "gpus": 0.5})
    records = {
        each.trial: each for each in (
            record("a", 1, "finished", 0, 2), record("b", 1, "finished", 1, 2), record("c", 1, "stopped", 2, 0.5),
            record("d", 1, "failed", 5, 1), record("e", 1, None, 6, 50), record("a", 1000, "finished", 7, 4),
        )
    }  # fmt: skip
    found = StudyResults(study, records).spent
    assert found.wall_hours == pytest.approx(3 + 1 + 4)
    assert asdict(found.finished) == {"trials": 3, "hours": 8.0, "cpu_hours": 24.0, "gpu_hours": 8.0}
    assert asdict(found.stopped) == {"trials": 1, "hours": 0.5, "cpu_hours": 1.5, "gpu_hours": 0.5}
    assert asdict(found.failed) == {"trials": 1, "hours": 1.0, "cpu_hours": 3.0, "gpu_hours": 1.0}
    assert set(found.stages) == {"search", "confirm"}
    assert found.stages["search"].wall_hours == pytest.approx(4)
    assert found.stages["search"].finished.hours == 4
    assert found.stages["confirm"].wall_hours == pytest.approx(4)
    assert asdict(found.stages["confirm"].failed) == {"trials": 0, "hours": 0, "cpu_hours": 0, "gpu_hours": 0}


def test_nothing_costs_nothing_and_a_worker_has_one_cpu_unless_told() -> None:
    study = StudyConfig(name="s")
    assert StudyResults(study, {}).spent.wall_hours == 0
    assert StudyResults(study, {}).spent.stages == {}
    one = StudyResults(study, {"a-s1": record("a", 1, "finished", 0, 3)}).spent
    assert (one.finished.cpu_hours, one.finished.gpu_hours) == (3, 0)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20))))
def test_the_clock_counts_each_second_once(trials: list[tuple[int, int]]) -> None:
    seconds = {second for start, length in trials for second in range(start, start + length)}
    assert covered((start, start + length) for start, length in trials) == len(seconds)
