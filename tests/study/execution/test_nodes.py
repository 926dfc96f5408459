"""Two nodes on one machine: each prepares for itself, and the loss of one in mid-study loses nothing.

A process has one Ray, so that the two nodes are made by this file run as a program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster as Nodes

from simclip.errors import InputError
from simclip.study.execution.cluster import connect, prepare_nodes
from simclip.study.execution.events import Listener
from simclip.study.execution.preflight import prepare_study
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.resources import Cluster, resolved
from simclip.study.execution.run import run_study
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import read_records
from simclip.study.store.study_file import load_study
from simclip.train.history import Row
from tests.study.watched import alone
from tests.train.histories import without_clocks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Where another Ray keeps its sockets, whose paths must be short, apart from that of the other tests."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def as_program(file: str, ray_folder: str, *words: str, **environment: str) -> str:
    """Run a test file as a program; returns what it prints."""
    own = {"RAY_TMPDIR": ray_folder, "PYTHONPATH": str(ROOT), **environment}
    end = subprocess.run(
        [sys.executable, file, *words], env={**os.environ, **own}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr[-4000:]
    return end.stdout


@pytest.mark.slow
def test_a_lost_node_loses_nothing(make_study: Callable[..., StudyConfig], tmp_path: Path, ray_folder: str) -> None:
    long = {"epochs": 5, "iterations_per_epoch": 15}  # both nodes are in mid-trial at some moment
    study = make_study(train=long, seeds=[1, 2])
    print(as_program(__file__, ray_folder, "lose", str(tmp_path)))
    records = read_records(tmp_path / "results" / "trials")
    assert sorted(records) == sorted(f"{arm}-s{seed}" for arm in ("control", "k2", "k4") for seed in (1, 2))
    for name, record in records.items():
        assert record.outcome == "finished"
        assert [row["epoch"] for row in record.history] == [*range(study.train.epochs + 1)]
        assert without_clocks(record.history) == alone(record.config, tmp_path / "alone" / name)


@pytest.mark.slow
def test_each_node_prepares_and_checks_for_itself(
    make_study: Callable[..., StudyConfig], pairs: Path, tmp_path: Path, ray_folder: str
) -> None:
    shutil.copytree(pairs / "images", tmp_path / "images")
    make_study(train={"train_image_dir": str(tmp_path / "images"), "image_store": "on"})
    out = as_program(__file__, ray_folder, "prepare", str(tmp_path), SIMCLIP_CACHE=str(tmp_path / "head"))
    unseen, missing = out.splitlines()
    assert re.fullmatch(r"node [\d.]+: .*/results is another folder there: give one that every node sees.*", unseen)
    assert re.fullmatch(r"node [\d.]+: .*images.*007\.png", missing)


@pytest.mark.slow
def test_nodes_that_join_are_used_and_waiting_trials_ask_for_them(
    make_study: Callable[..., StudyConfig], tmp_path: Path, ray_folder: str
) -> None:
    make_study(train={"epochs": 10_000}, seeds=[1, 2])  # the first trial lasts until the second one runs beside it
    as_program(__file__, ray_folder, "join", str(tmp_path))


def join(nodes: Nodes, far: Any, cluster: Cluster, study: StudyConfig, tmp: Path) -> None:
    """Begin on two nodes, lose one of them for good, and add another one; stop when two trials run at a time."""
    nodes.remove_node(far, allow_graceful=False)
    running: set[str] = set()
    most: dict[bool, int] = {}  # whether the new node is there, trials at a time
    asked: list[int] = []

    class Adder(Listener):
        def trial_started(self, trial: Trial) -> None:
            running.add(trial.name)
            most[added] = max(most.get(added, 0), len(running))

        def epoch_ended(self, trial: Trial, row: Row) -> None:
            nonlocal added
            if len(running) == 2:
                raise KeyboardInterrupt
            if not added and row["epoch"] == 2:
                table = ray.util.placement_group_table().values()
                asked.append(sum(group["state"] == "PENDING" for group in table))
                nodes.add_node(num_cpus=1, env_vars={"SIMCLIP_CACHE": str(tmp / "far")})
                added = True

    added = False
    folder = StudyFolder.at(tmp / "results")
    folder.claim(study)
    prepare_nodes(study, folder.storage)
    end = run_study(study, RayExecutor(study, cluster, folder), folder, [Adder()])
    assert end.interrupted and most == {False: 1, True: 2}, most
    assert asked[0] >= 1  # what an autoscaler reads


def lose(nodes: Nodes, far: Any, cluster: Cluster, study: StudyConfig, tmp: Path) -> None:
    """Kill a node once both are in mid-trial."""
    epochs: dict[str, int] = {}
    starts: list[str] = []

    class Killer(Listener):
        def trial_started(self, trial: Trial) -> None:
            starts.append(trial.name)

        def epoch_ended(self, trial: Trial, row: Row) -> None:
            epochs[trial.name] = row["epoch"]
            under_way = [name for name, epoch in epochs.items() if 1 <= epoch < study.train.epochs]
            if far in nodes.worker_nodes and len(under_way) == 2:
                nodes.remove_node(far, allow_graceful=False)

    folder = StudyFolder.at(tmp / "results")
    folder.claim(study)
    prepare_nodes(study, folder.storage)
    run_study(study, RayExecutor(study, cluster, folder), folder, [Killer()])
    assert far not in nodes.worker_nodes
    twice = [name for name in starts if starts.count(name) == 2]
    assert len(set(twice)) == 1, starts  # the one that ran there


def prepare(nodes: Nodes, far: Any, cluster: Cluster, study: StudyConfig, tmp: Path) -> None:
    """Let the other node prepare, then fail to."""
    folder = StudyFolder.at(tmp / "results")
    folder.claim(study)
    prepare_study(study)
    assert prepare_nodes(study, folder.storage) == []
    stored = [{path.name for path in (tmp / node).iterdir()} for node in ("head", "far")]
    assert stored[0] == stored[1], stored
    for take_away in (folder.file, tmp / "images" / "007.png"):
        take_away.rename(tmp / "away")
        try:
            prepare_nodes(study, folder.storage)
        except InputError as error:
            print(error)
        (tmp / "away").rename(take_away)


def main(scene: str, tmp: Path) -> None:
    """Make two nodes of one CPU each, and play a scene on them."""
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    far = nodes.add_node(num_cpus=1, env_vars={"SIMCLIP_CACHE": str(tmp / "far")})
    cluster = connect(nodes.address)
    assert cluster.cpus == 2 and cluster.shared
    assert "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER" not in os.environ  # which is on by default, as spot nodes want it
    study = resolved(load_study(tmp / "tiny.yaml"), cluster)
    {"join": join, "lose": lose, "prepare": prepare}[scene](nodes, far, cluster, study, tmp)
    ray.shutdown()
    nodes.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
