"""Studies that are played by hand, at a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simclip.study.execution.events import Listener
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record

UNTOUCHED = 0.2


class Clock:
    """Stands still unless it is moved on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Player:
    """Tells a listener what a study would, epochs of 10 seconds after 2 seconds for the untouched model."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: dict[str, Record] = {}
        self._rows: dict[str, list[dict]] = {}
        self._begin: dict[str, float] = {}

    def start(self, listener: Listener, trial: Trial) -> None:
        self._rows[trial.name], self._begin[trial.name] = [], self.clock.now
        listener.trial_started(trial)

    def epoch(self, listener: Listener, trial: Trial, metric: float) -> None:
        rows = self._rows[trial.name]
        seconds = 10.0 if rows else 2.0
        self.clock.now += seconds
        scores = {"val/mean_r1": metric, "val/loss": 3 * metric, "rare/top1": metric / 2}
        rows.append({"epoch": len(rows), "metric": metric, **scores, "seconds": seconds})
        listener.epoch_ended(trial, rows[-1])

    def end(self, listener: Listener, trial: Trial, outcome: str = "finished", error: str | None = None) -> None:
        seconds = self.clock.now - self._begin[trial.name]
        record = Record.of(trial, self._rows[trial.name], outcome=outcome, seconds=seconds, error=error)
        self.records[trial.name] = record
        listener.trial_ended(trial, record)

    def run(self, listener: Listener, trial: Trial, *metrics: float, outcome: str = "finished", error=None) -> None:
        """A trial from its start to its end."""
        self.start(listener, trial)
        for metric in (UNTOUCHED, *metrics):
            self.epoch(listener, trial, metric)
        self.end(listener, trial, outcome, error)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def player(clock: Clock) -> Player:
    return Player(clock)


@pytest.fixture
def make_study() -> Callable[..., StudyConfig]:
    """A study with the control and an arm of p = 0.5 for each cluster size, two epochs each."""

    def make(sizes=(4, 8), train=None, **fields) -> StudyConfig:
        data = {"val_tsv": "val.tsv", "val_image_dir": "images"}
        rare = {"kind": "classification", "name": "rare", "image_dir": "rare"}
        train = {"batch_size": 1024, "epochs": 2, "proportion": 0.5, **data, "evaluate": [rare], **(train or {})}
        parameters = {"cluster_size": {"values": list(sizes)}}
        fields = {"confirm": None, "parameters": parameters, **fields}
        return StudyConfig(name="toy", train=train, **fields)

    return make


@pytest.fixture
def trials() -> Callable[[StudyConfig], dict[str, Trial]]:
    return lambda study: {trial.name: trial for trial in planned_trials(study)}
