"""Real event files and a real offline W&B run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simclip.study.execution.trackers import TensorBoard, WeightsAndBiases, wandb_status
from simclip.study.spec.arms import Arm, Trial
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig

ROOT = Path(__file__).parents[3]
CONFIG = TrainConfig(epochs=2, seed=3)
TRIAL = Trial(Arm("k4", CONFIG, is_control=False), 3)
ROWS = [{"epoch": e, "metric": m, "val/mean_r1": m, "seconds": 1.5} for e, m in enumerate([0.1, 0.4, 0.3])]
RECORD = Record.of(TRIAL, ROWS, outcome="finished", seconds=5.0)


def test_tensorboard_has_every_figure_of_every_epoch(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    for row in ROWS:
        board.epoch_ended(TRIAL, row)
    board.trial_ended(TRIAL, RECORD)
    events = EventAccumulator(str(tmp_path / "k4-s3")).Reload()
    assert set(events.Tags()["scalars"]) == {"val/mean_r1", "run/metric", "run/seconds", "hparams/score"}
    told = events.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert told.plugin_name == "hparams" and b"cluster_size" in told.content and b"k4" in told.content
    assert events.Scalars("hparams/score")[0].value == pytest.approx(0.4)
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("val/mean_r1")] == [(0, 0.1), (1, 0.4), (2, 0.3)]


def test_wandb_has_a_run_per_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = WeightsAndBiases("demo", tmp_path, print)
    tracker.trial_started(TRIAL)
    for row in ROWS:
        tracker.epoch_ended(TRIAL, row)
    tracker.trial_ended(TRIAL, RECORD)
    tracker.study_ended()
    wandb.teardown()  # as at the process's end: a run that has finished is still being written by W&B's own process
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()  # protocol buffers: texts stand in them as they are
    for part in (b"k4-s3", b"demo", b"arm", b"cluster_size"):
        assert part in content
    logged = re.findall(rb"val/mean_r1\x82\x01.(0\.\d+)", content, re.DOTALL)  # a line of history and its summary
    assert [float(value) for value in logged] == [0.1, 0.1, 0.4, 0.4, 0.3, 0.3]


@pytest.mark.parametrize(
    ("environment", "on", "said"),
    [
        ({"WANDB_MODE": "offline"}, True, "WANDB_MODE=offline"),
        ({"WANDB_MODE": "disabled"}, False, "WANDB_MODE=disabled"),
    ],
)
def test_wandb_says_whether_it_is_on(environment: dict[str, str], on: bool, said: str) -> None:
    assert wandb_status(environment)[0] is on
    assert said in wandb_status(environment)[1]


def test_without_key_or_mode_wandb_is_off_and_says_how_to_turn_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    on, said = wandb_status({})
    assert not on
    assert "wandb login" in said
    assert "WANDB_MODE=offline" in said


PROGRAM = """
import sys
from pathlib import Path
from simclip.cli.exits import leave
from simclip.study.execution.trackers import WeightsAndBiases
from tests.study.execution.test_trackers import RECORD, ROWS, TRIAL
tracker = WeightsAndBiases("demo", Path(sys.argv[1]), print)
tracker.trial_started(TRIAL)
for row in ROWS:
    tracker.epoch_ended(TRIAL, row)
if sys.argv[2] == "to its end":
    tracker.trial_ended(TRIAL, RECORD)
tracker.study_ended()
leave(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["to its end", "interrupted"])
def test_wandb_leaves_nothing_in_the_temporary_folder(how: str, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "WANDB_MODE": "offline", "TMPDIR": str(tmp_path / "temporary")}
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), how], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.glob("wandb/offline-run-*")) and not list((tmp_path / "temporary").glob("*wandb*"))
