"""Who holds a results folder, with real processes: one at a time, and none after its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from simclip.errors import InputError
from simclip.study.execution.cluster import NAMESPACE, own_folder
from simclip.study.execution.ownership import LOCK, last_owner, owner
from simclip.study.execution.resources import Cluster

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
import ray
from simclip.errors import InputError
from simclip.study.execution.cluster import own_folder
results, address, patience = sys.argv[1], sys.argv[2], float(sys.argv[3])
if address:
    ray.init(address, log_to_driver=False)
try:
    with own_folder(results if "://" in results else Path(results), bool(address), patience):
        print("held", flush=True)
        sys.stdin.readline()
except InputError as error:
    print(f"refused: {error}", flush=True)
"""

Begin = Callable[..., subprocess.Popen]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a driver that takes a folder and keeps it until it reads a line."""
    begun = []

    def start(results: Path | str, address: str = "", patience: float = 0) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(results), address, str(patience)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def test_one_driver_at_a_time(begin: Begin, tmp_path: Path) -> None:
    first, folder = begin(tmp_path / "study"), tmp_path / "study"
    assert said(first) == "held"
    with pytest.raises(InputError) as refused, own_folder(folder, shared=False, patience=0):
        pass
    assert "\n" not in str(refused.value)
    for part in (str(folder), f"process {first.pid} on", "since 20", f"python tune.py status {folder}"):
        assert part in str(refused.value)
    assert owner(folder).pid == first.pid

    first.stdin.write("go\n")
    first.stdin.flush()
    first.wait()
    assert owner(folder) is None
    with own_folder(folder, shared=False, patience=0) as done:
        assert owner(folder).pid == os.getpid()
        assert not owner(folder).done
        done()
    assert last_owner(folder).pid == os.getpid()
    assert last_owner(folder).done


def test_a_killed_owner_blocks_nobody(begin: Begin, tmp_path: Path) -> None:
    first = begin(tmp_path)
    assert said(first) == "held"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert owner(tmp_path) is None
    assert last_owner(tmp_path).pid == first.pid
    with own_folder(tmp_path, shared=False, patience=0):
        pass


def test_of_many_that_begin_at_once_one_gets_it(begin: Begin, tmp_path: Path) -> None:
    answers = [said(process) for process in [begin(tmp_path / "study") for _ in range(4)]]
    assert answers.count("held") == 1
    assert sum(answer.startswith("refused") for answer in answers) == 3


def test_a_child_of_the_owner_does_not_keep_it(begin: Begin, tmp_path: Path) -> None:
    with own_folder(tmp_path, shared=False, patience=0):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert owner(tmp_path) is None
    child.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}'])
def test_whatever_stands_in_the_file_the_lock_alone_counts(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    assert owner(tmp_path) is None and last_owner(tmp_path) is None
    with own_folder(tmp_path, shared=False, patience=0):
        assert owner(tmp_path).pid == os.getpid()


def test_drivers_of_a_cluster_without_common_locks(cluster: Cluster, begin: Begin) -> None:
    """A URI has no file locks: only the cluster tells."""
    results, address = "s3://bucket/results/study", ray.get_runtime_context().gcs_address
    first = begin(results, address)
    assert said(first) == "held"
    with pytest.raises(InputError, match=rf"s3://bucket/results/study: .*process {first.pid} on"):  # noqa: SIM117
        with own_folder(results, shared=True, patience=0):
            pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    with own_folder(results, shared=True, patience=60):
        assert ray.get(ray.get_actor(results, namespace=NAMESPACE).owner.remote()).pid == os.getpid()
    with own_folder(results, shared=True, patience=60):
        pass
