"""What the driver does for a trial does not grow with the trials before it. Work is counted, not timed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from simclip.cli.terminal.plain_lines import PlainLines
from simclip.study.execution.recorder import Recorder
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from simclip.train.history import best_row
from tests.study.made_up import history

TRIALS = [
    Trial(Arm(name, TrainConfig(epochs=1, cluster_size=4 if number else 1), is_control=not number), seed)
    for number, name in enumerate(["control", *(f"arm-{number:02}" for number in range(30))])
    for seed in (1, 2)
]


def test_a_late_trial_costs_what_an_early_one_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def best(record: Record) -> object:
        looked.append(record.trial)
        return best_row(record.history, record.config.mode)

    monkeypatch.setattr(Record, "best", property(best))
    study, folder = StudyConfig(name="s", seeds=[1, 2]), StudyFolder(tmp_path)
    lines = PlainLines(study, folder.logs, io.StringIO())
    recorder = Recorder(study, folder, [lines])
    lines.study_started(TRIALS, 1)
    counts, arms = [], []
    for number, trial in enumerate(TRIALS):
        looked.clear()
        recorder.trial_started(trial)
        for epochs in (1, 2):
            recorder.epoch_ended(trial, history(0.1, 0.2 + number / 1000)[:epochs], "CPU")
        recorder.trial_finished(trial)
        counts.append(len(looked))
        arms.append({name.rpartition("-s")[0] for name in looked})
    assert max(counts[-20:]) <= max(counts[:20])
    assert all(those <= {trial.arm.name} for those, trial in zip(arms, TRIALS, strict=True))
    # ... and the outcome is that of looking at everything.
    assert recorder.results.order.names == [arm.name for arm in recorder.begun.ranking]
    assert recorder.results.ranking == recorder.begun.ranking
