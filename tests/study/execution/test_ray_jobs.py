"""A study as a Ray job: sent to a cluster that asks for a token, stopped, continued and followed to its end."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from simclip.errors import InputError
from simclip.study.execution.job_bundle import bundle, check_travels, results_of
from simclip.study.spec.portable_paths import PROJECT
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import read_all, read_records
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from tests.conftest import write_study

PATIENCE = 240  # for a machine that is busy with others; nothing waits longer than it must


#: Runs the words of each line as `python tune.py` would; one process for all, since its imports take seconds.
SHELL = """
import contextlib, io, json, sys
from tune import main
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(json.loads(line))
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@dataclass
class Head:
    """A Ray head of its own on this machine, and a shell beside it."""

    address: str
    gcs: str
    environment: dict[str, str]
    shell: subprocess.Popen

    def tune(self, *words: str, address: str | None = None) -> Answer:
        print(json.dumps([*words, "--address", address or self.address]), file=self.shell.stdin, flush=True)
        return Answer(*json.loads(self.shell.stdout.readline()))


def open_shell(environment: dict[str, str]) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", SHELL], cwd=PROJECT, env=environment, **pipes)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Authentication on, every port its own; what it started is ended with it."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_"))}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "SIMCLIP_CACHE": str(tmp_path_factory.mktemp("job-cache")),
    }
    names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port",
             "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port")  # fmt: skip
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    here = [f"--temp-dir={folder}", "--node-ip-address=127.0.0.1", *(f"--{name}={ports[name]}" for name in names)]
    with open(Path(folder) / "head.log", "w") as log:
        ray = subprocess.Popen(["ray", "start", "--head", "--block", "--num-cpus=2", *here], env=environment,
                               stdout=log, stderr=log, start_new_session=True)  # fmt: skip
    started = Head(
        f"http://127.0.0.1:{ports['dashboard-port']}",
        f"127.0.0.1:{ports['port']}",
        environment,
        open_shell(environment),
    )
    try:
        wait_for(lambda: answers(started.address))
        yield started
    finally:
        started.shell.kill()
        os.killpg(ray.pid, signal.SIGKILL)
        ray.wait()
        started.shell.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/api/version")
    except urllib.error.HTTPError as error:
        return error.code == 401  # it asks for a token
    except OSError:
        return False
    return False


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def study_file(config: TrainConfig, tmp_path: Path) -> Path:
    """A study of two cluster sizes over the tiny pairs, outside of the project."""
    return write_study(config, tmp_path / "anywhere" / "sent.yaml", max_concurrent=1)


@pytest.mark.slow
def test_a_job_is_stopped_continued_and_followed_to_its_end(head: Head, study_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "sent"
    submit = ("submit", str(study_file), "train.epochs=20", "--results", str(folder.parent))
    first = head.tune(*submit)
    assert first.code == 0, first
    job = re.search(r"Submitted sent as job (sent-\w+); results: (\S+)", first.out)
    assert job[2] == str(folder)

    # The same study again is the same job, and begins anew only once that has ended.
    assert f"is already running as job {job[1]}" in head.tune(*submit).out
    assert head.tune(*submit, "--fresh").code == 2

    wait_for(lambda: any(len(record.history) > 2 for record in read_all(folder / "trials").values()))
    stopped = head.tune("stop", str(folder))
    assert f"{job[1]}: stopped" in stopped.out, stopped
    assert len(read_records(folder / "trials")) < 3
    log = head.tune("logs", job[1]).out
    assert "control-s1" in log
    assert "Interrupted. To resume: " in log  # as after Ctrl-C
    assert "interrupted" in head.tune("status", str(folder)).out
    assert f"{job[1]}: stopped; results: {folder}" in head.tune("status", job[1]).out

    second = head.tune(*submit, "--follow")
    assert second.code == 0, second
    again = re.search(r"Submitted sent as job (sent-\w+)", second.out)[1]
    assert again != job[1] and f"{again}: succeeded" in second.out
    ended = {name: record.outcome for name, record in read_records(folder / "trials").items()}
    assert ended == dict.fromkeys(("control-s1", "k2-s1", "k4-s1"), "finished")
    assert "finished" in head.tune("status", str(folder)).out

    token = head.environment["RAY_AUTH_TOKEN"].encode()
    assert not [path for path in folder.rglob("*") if path.is_file() and token in path.read_bytes()]
    assert token.decode() not in "".join([first.out, stopped.out, second.out, log])


@pytest.mark.slow
def test_tokens_and_addresses(head: Head, study_file: Path, tmp_path: Path) -> None:
    submit = ["submit", str(study_file), "--results", str(tmp_path)]
    nobody = head.tune(*submit, address=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert nobody.code == 2 and nobody.err.count("\n") == 1
    assert "no Ray dashboard answers" in nobody.err

    wrong = {**head.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    none = {**head.environment, "RAY_AUTH_MODE": "disabled"}
    words = json.dumps([*submit, "--address", head.address]) + "\n"
    for shell in [open_shell(wrong), open_shell(none)]:
        answer = Answer(*json.loads(shell.communicate(words)[0]))
        assert answer.code == 2 and answer.out == f"Connecting to {head.address}...\n" and answer.err.count("\n") == 1
        assert "set RAY_AUTH_MODE=token" in answer.err
        assert head.environment["RAY_AUTH_TOKEN"] not in answer.err


@pytest.mark.slow
def test_run_tells_in_one_line_why_a_cluster_does_not_take_it(head: Head, study_file: Path, tmp_path: Path) -> None:
    run = ["run", str(study_file), "--results", str(tmp_path)]
    for address, said in {
        f"127.0.0.1:{free_ports(1)[0]}": "no Ray cluster answers there",
        head.address: "expected HOST:PORT of the Ray cluster's head",
        "localhost": "expected HOST:PORT of the Ray cluster's head",
    }.items():
        answer = head.tune(*run, address=address)
        assert answer.code == 2 and answer.err.startswith("error: ") and answer.err.count("\n") == 1
        assert said in answer.err
    stranger = subprocess.run(
        [sys.executable, "tune.py", *run, "--address", head.gcs], cwd=PROJECT,
        env={**head.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert stranger.returncode == 2 and "Traceback" not in stranger.stderr
    assert "the cluster asks for a token: set RAY_AUTH_MODE=token" in stranger.stderr.splitlines()[-1]
    assert not any(tmp_path.glob("[!c]*/trials"))


@pytest.mark.slow
def test_the_bundle_runs_by_itself(study_file: Path, tmp_path: Path) -> None:
    """With nothing but what travels, the study is read, and a study of the project is named as it lies there."""
    there = tmp_path / "there"
    assert bundle(study_file, there) == "sent.yaml"
    assert bundle(Path("studies/demo.yaml"), there) == "studies/demo.yaml"
    run = subprocess.run(
        [sys.executable, "tune.py", "run", "sent.yaml", "train.epochs=0"], cwd=there, capture_output=True, text=True
    )
    assert run.returncode == 2 and "train.epochs=0" in run.stderr, run
    assert sum(path.stat().st_size for path in there.rglob("*") if path.suffix != ".pyc") < 5e6


@pytest.mark.parametrize(
    "override, name",
    [
        ("train.train_tsv=studies/pairs.tsv", "train.train_tsv"),
        ("train.model=tests", "train.model"),
        ("train.train_tables=[{tsv: a.tsv, image_dir: /images}]", "train.train_tables[0].tsv"),
        ("parameters.model.values=[tests, openai/clip-vit-base-patch32]", "parameters.model.values[0]"),
        ("train.evaluate=[{kind: pairs, name: x, files: a.json, image_dir: /i}]", "train.evaluate[0].files[0]"),
        ("test=[{kind: classification, name: rare, image_dir: rare}]", "test[0].image_dir"),
    ],
)
def test_relative_paths_do_not_travel(study_file: Path, override: str, name: str) -> None:
    changes = [override, "confirm.seeds=3", "test_metric=rare/top1"] if override.startswith("test=") else [override]
    with pytest.raises(InputError, match=re.escape(f"{study_file}: {name}: ")):
        check_travels(study_file, changes)


def test_what_the_project_ships_travels(study_file: Path) -> None:
    check_travels(study_file, ["train.model=datasets/demo-base", "train.train_tsv=datasets/demo/train.tsv"])
    check_travels(Path("studies/demo.yaml"), [])
    with pytest.raises(InputError, match="train_image_dir: datasets/coco/train2017 is relative"):
        check_travels(Path("studies/coco.yaml"), [])


def test_results_are_absolute(study_file: Path) -> None:
    study: StudyConfig = load_study(study_file)
    assert results_of("/shared/results/", study) == "/shared/results/sent"
    assert results_of("s3://bucket/results", study) == "s3://bucket/results/sent"
    for wrong in (None, "results"):
        with pytest.raises(InputError, match="--results"):
            results_of(wrong, study)
