"""tune.py as it is typed: what a study prints and leaves, also when it is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simclip.demo.dataset import ensure_dataset
from simclip.train.config import TrainConfig
from tests.cli.commands.typed import ROOT, tune
from tests.conftest import write_study
from tune import main


@pytest.fixture
def study_file(config: TrainConfig, tmp_path: Path) -> Path:
    """A study of two cluster sizes over the tiny pairs."""
    return write_study(config, tmp_path / "tiny.yaml", train={"epochs": 2}, max_concurrent=1)


def test_the_fields_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}" in listed for name in [*TrainConfig.model_fields, "seeds", "searcher"])


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    code = "from simclip.cli.exits import exit_code\nimport sys\ndef work():\n  while True: print('x' * 9999)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}sys.exit(exit_code(work))"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


@pytest.mark.usefixtures("without_ray")
def test_interrupted_it_says_how_to_go_on_and_the_same_command_does(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = ["train.epochs=3", "train.iterations_per_epoch=60"]  # seconds per trial: not over before the signal
    words = ["run", str(study_file), *long, "--results", str(tmp_path / "results")]
    first = tune(*words)
    folder = tmp_path / "results" / "tiny" / "trials"
    wait_for(lambda: any("outcome" in path.read_text() for path in folder.glob("*.jsonl")), first)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 130, (out, err)
    assert "To resume: python tune.py run" in out
    assert "Traceback" not in err
    done = {path.name: path.read_text() for path in folder.glob("*.jsonl") if "outcome" in path.read_text()}
    assert 0 < len(done) < 3

    assert main(words) == 0
    out = capsys.readouterr().out
    assert {path.name for path in folder.glob("*.jsonl")} == {"control-s1.jsonl", "k2-s1.jsonl", "k4-s1.jsonl"}
    for name, text in done.items():
        assert (folder / name).read_text() == text
    ends = [json.loads(path.read_text().splitlines()[-1]) for path in folder.glob("*.jsonl")]
    assert [end["outcome"] for end in ends] == ["finished"] * 3
    assert "Reproduce it" in out


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dry_run_tells_the_cost_and_leaves_nothing(study_file: Path, tmp_path: Path) -> None:
    process = tune("run", str(study_file), "--dry-run", "seeds=[1,2]", "--results", str(tmp_path / "results"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for part in ("control", "k2", "k4", "6 trials", "CPU hours", "of disk", "of memory"):
        assert part in out
    assert not (tmp_path / "results").exists()


def test_the_demo_is_the_default_and_loads() -> None:
    from simclip.study.search.plan import planned_arms
    from simclip.study.store.study_file import DEMO, load_with_data

    ensure_dataset()
    study = load_with_data(DEMO)
    arms = planned_arms(study)
    assert arms[0].is_control
    assert len(arms) >= 5
