"""What a command waits for: help and refused input for neither torch nor Ray, a finished study not for Ray to start."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

import tune
from simclip.__main__ import main
from simclip.cli import session
from simclip.study.execution.ownership import Owner, last_owner, own_file
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from tests.conftest import tiny_run, write_study
from tests.study.in_process import run_here
from tests.study.made_up_trials import made_up

ROOT = Path(__file__).parents[2]
MODES = "online, offline, shared, disabled or dryrun"

#: Runs one command after the other, and tells after each its exit code, what it printed, and what has been imported.
PROGRAM = """
import contextlib, io, json, runpy, sys
import tune
from simclip.__main__ import main
for words in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words[1:]) if words[0] == "simclip" else tune.main(words)
        except SystemExit as end:
            code = end.code
    heavy = sorted({"torch", "transformers", "ray", "scipy.stats", "matplotlib", "optuna", "wandb"} & {*sys.modules})
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""


def answers(*commands: list[str]) -> list[tuple[int, str, str, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_help_imports_nothing_heavy() -> None:
    named = [[name, "--help"] for name in tune.COMMANDS]
    for words, (code, out, err, heavy) in zip(
        [*named, ["--help"], ["simclip", "--help"]], answers(*named, ["--help"], ["simclip", "--help"]), strict=True
    ):
        assert (code, err, heavy) == (0, "", []), words
        assert "usage" in out.lower(), words


def test_refused_input_imports_nothing_heavy(pairs: Path, tiny_model: Path, tmp_path: Path) -> None:
    study = write_study(tiny_run(pairs, tiny_model), tmp_path / "tiny.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\ntrian: {}\n")
    other = StudyFolder(tmp_path / "other" / "tiny")
    other.claim(load_study(write_study(tiny_run(pairs, tiny_model), study, train={"batch_size": 10})))
    write_study(tiny_run(pairs, tiny_model), study)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    run = ["run", str(study), "--results", str(tmp_path / "results")]
    missing = str(tmp_path / "missing")
    cases = {
        "did you mean train?": ["run", str(broken)],
        "no such file": ["run", missing + ".yaml"],
        "did you mean epochs": [*run, "train.epoch=2"],
        f"no such TSV file: {missing}": [*run, f"train.train_tsv={missing}"],
        "no such model folder": [*run, f"train.model={missing}"],
        "fewer than batch_size 64": [*run, "train.batch_size=64"],
        "holds another study": ["run", str(study), "--results", str(tmp_path / "other")],
        "a study runs there already": ["run", str(study), "--results", str(tmp_path / "running")],
        "no such command": ["rum"],
        "give the results folder of a study": ["report", str(tmp_path / "full")],
        "already exists": ["export", str(tiny_model), "--to", str(tmp_path / "full")],
        "no such folder": ["export", missing, "--to", str(tmp_path / "exported")],
        "nothing to check": ["check"],
        "expected a study file (.yaml) or a table of pairs": ["clusters", __file__],
        "40 of 40 images are not in": ["check", str(pairs / "train.tsv")],
        "expected at least 1": ["clusters", str(study), "--anchors", "0"],
        "no Ray dashboard answers": ["stop", "some-job", "--address", "http://127.0.0.1:9"],
        "--results is missing": ["submit", str(study)],
        "did you mean --cluster-size?": ["simclip", "--cluster-sizes", "4"],
    }
    with own_file(tmp_path / "running" / "tiny", Owner.me()):
        found = answers(*cases.values())
    for part, (code, _, err, heavy) in zip(cases, found, strict=True):
        assert (code, heavy) == (2, []), (part, err)
        assert err.startswith("error: ") and err.count("\n") == 1 and part in err


def test_a_mistyped_mode_of_wandb_is_refused_before_anything_heavy(
    pairs: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tiny_run(pairs, tiny_model), tmp_path / "tiny.yaml")
    monkeypatch.setenv("WANDB_MODE", "offlin")
    ((code, _, err, heavy),) = answers(["run", str(study), "--results", str(tmp_path)])
    assert (code, heavy) == (2, []) and err == f"error: WANDB_MODE=offlin: expected {MODES}\n"


def test_summaries_in_the_list_of_commands_are_their_own() -> None:
    for name, (_, summary) in tune.COMMANDS.items():
        assert summary == (inspect.getdoc(tune.command(name)) or "").splitlines()[0]


class Connected(Exception):
    """A command has asked for Ray."""


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: str | None) -> None:
        raise Connected

    monkeypatch.setattr(session, "connect", connect)


def test_a_finished_study_prints_its_outcome_without_ray(
    no_ray: None, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1}, confirm={"arms": 1, "seeds": 1})
    study, results = load_study(file), tmp_path / "results"
    _, folder = run_here(study, results)
    before = {path.name: path.read_bytes() for path in folder.trials.iterdir()}
    (folder.path / "best.yaml").unlink()  # as if the driver had been killed before it derived the results
    command = ["run", str(file), "--results", str(results)]
    assert tune.main(command) == 0
    out = capsys.readouterr().out
    assert f"Study tiny: results in {folder.place()}" in out and f"{folder.path}/report.html" in "".join(out.split())
    assert (folder.path / "best.yaml").is_file() and (folder.path / "report.html").is_file()
    assert {path.name: path.read_bytes() for path in folder.trials.iterdir()} == before
    assert (last := last_owner(folder.path)) is not None and last.done
    assert tune.main(["run", str(file), "--results", results.as_uri()]) == 0  # as in a bucket
    for more in (["seeds=[1,2]"], ["confirm.seeds=2"], ["--fresh"], ["--dry-run"]):
        with pytest.raises(Connected):
            tune.main([*command, *more])


def test_the_verdict_of_a_finished_study_imports_nothing_heavy(config: TrainConfig, tmp_path: Path) -> None:
    study = load_study(write_study(config, tmp_path / "tiny.yaml", confirm={"arms": 1, "seeds": 3}))
    _, folder = made_up(study, tmp_path, lambda trial: crc32(trial.name.encode()) / 2**33)
    ((code, out, _, heavy),) = answers(["status", str(folder.path)])
    assert (code, heavy) == (0, []) and "No arm with clusters is shown to be better" in out


def test_a_finished_single_run_needs_no_ray(
    without_ray: None, pairs: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(address: str | None) -> None:
        raise Connected

    flags = {"train-tsv": pairs / "train.tsv", "train-image-dir": pairs / "images", "val-tsv": pairs / "val.tsv",
             "val-image-dir": pairs / "images", "model-name": tiny_model, "batch-size": 8, "num-epochs": 1,
             "save-dir": tmp_path}  # fmt: skip
    words = [f"--{name}={value}" for name, value in flags.items()]
    assert main(words) == 0
    monkeypatch.setattr(session, "connect", connect)
    assert main(words) == 0
    with pytest.raises(Connected):
        main([*words, "--seed", "7"])


def test_what_is_left_of_a_study_needs_ray(no_ray: None, config: TrainConfig, tmp_path: Path) -> None:
    # So large a rate makes embeddings that are not finite.
    rates = {"learning_rate": {"values": [1e-3, 1e18]}, "cluster_size": {"value": 4}}
    file = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1}, parameters=rates)
    end, folder = run_here(load_study(file), tmp_path)
    command = ["run", str(file), "--results", str(tmp_path)]
    assert end.failed and tune.main(command) == 1
    with pytest.raises(Connected):
        tune.main([*command, "--retry-failed"])
    (folder.trials / f"{end.failed[0].trial}.jsonl").unlink()
    with pytest.raises(Connected):
        tune.main(command)


def test_a_study_that_its_budget_ended_needs_no_ray(
    no_ray: None, config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_study(config, tmp_path / "tiny.yaml", train={"epochs": 1}, budget={"trials": 2})
    assert run_here(load_study(file), tmp_path)[0].left_out
    command = ["run", str(file), "--results", str(tmp_path)]
    assert tune.main(command) == 0
    assert "The budget ended the study" in capsys.readouterr().out
    with pytest.raises(Connected):
        tune.main([*command, "budget.trials=3"])


def test_a_torchvision_that_does_not_fit_torch_is_one_line(tmp_path: Path, pairs: Path, tiny_model: Path) -> None:
    """As the registry's, built for CUDA, beside a CPU build of torch."""
    package, facts = tmp_path / "torchvision", tmp_path / "torchvision-0.28.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    study = write_study(tiny_run(pairs, tiny_model), tmp_path / "toy.yaml")
    done = subprocess.run(
        [sys.executable, "tune.py", "run", str(study), "--results", str(tmp_path / "results"), "--dry-run"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "pip uninstall torchvision" in errors[0]
    assert "Traceback" not in done.stderr
