"""The script for Slurm, run with stand-ins for Slurm's commands and for Ray's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click
import pytest
import ray.scripts.scripts as ray_cli
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

import tune
from tests.docs.pages import BY_NAME

NODES = ["gpu07", "gpu08"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (text,) = BY_NAME["cluster"].blocks("sh")
    path = tmp_path / "simclip.sbatch"
    path.write_text(text)
    return path


@pytest.fixture
def called(script: Path, tmp_path: Path) -> list[str]:
    """The words that the script gives to `ray` on a node, where Slurm gave it two."""
    stand_ins = {
        "scontrol": f'[ "$*" = "show hostnames gpu[07-08]" ] && printf "%s\\n" {" ".join(NODES)}',
        "srun": 'exec "$@"',
        "ray": 'printf "%s\\n" "$@"',
    }
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("")
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "32"}
    environment = {**os.environ, **slurm, "USER": "someone", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_ray_starts_on_each_node_and_the_study_runs_on_the_first(called: list[str], tmp_path: Path) -> None:
    assert called[0] == "symmetric-run"
    separator = called.index("--")
    start = curate_and_validate_ray_start_args(called[1:separator])
    assert called[1:separator] == ["--address", "gpu07:6379", "--min-nodes", "2", "--num-cpus", "32"]
    context = ray_cli.start.make_context("start", ["--address", "gpu07:6379", *start], click.Context(ray_cli.cli))
    assert context.params["num_cpus"] == 32
    assert called[separator + 1 :] == [
        *("python", "tune.py", "run", "studies/coco.yaml", "--address", "auto"),
        *("--results", str(tmp_path / "results")),
    ]
    assert (Path(tune.__file__).parent / "studies" / "coco.yaml").is_file()


def test_slurm_is_asked_for_one_ray_per_node(script: Path) -> None:
    asked = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--ntasks-per-node=1", "--exclusive", "--requeue"} <= {*asked}
    assert script.read_text().startswith("#!/bin/bash\n#SBATCH")
