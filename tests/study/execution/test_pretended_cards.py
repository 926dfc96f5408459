"""Who gets which card: Ray places the trials of real studies on pretended cards, and each writes down what it got.

A process has one Ray, so that the nodes are made by this file run as a program: a head without cards, and two nodes
with one and two cards. Training cannot run on such a card, and `Given` stands in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster as Nodes

from simclip.errors import InputError
from simclip.study.execution import nested_trainer, ray_executor, trial
from simclip.study.execution.cluster import connect
from simclip.study.execution.ray_executor import RayExecutor
from simclip.study.execution.resources import Cluster, concurrency, resolved
from simclip.study.execution.run import StudyEnd, run_study
from simclip.study.execution.trial import Placement
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.train.config import TrainConfig
from simclip.train.loop import Report
from tests.study.execution.test_nodes import as_program, ray_folder  # noqa: F401
from tests.study.made_up import history
from tests.study.watched import Events, kill_actors

#: Environment variable with the folder where each process writes what it was given.
GIVEN = "SIMCLIP_GIVEN"
#: Seconds until the processes that are to run at a time have all started.
START_SECONDS = 200.0
EPOCHS = 4


def together() -> Path:
    """The file that says how many processes are to run at a time."""
    return Path(os.environ[GIVEN]).with_name("together")


class Given:
    """Stands for Training: writes down the node and the cards of its process, and reports made-up epochs."""

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device) -> None:
        self.config, self.device = config, device

    def run(self, report: Report, keep_items: object) -> None:
        """Report every epoch, once all that are to run at a time have begun."""
        folder = Path(os.environ[GIVEN])
        path = folder / f"{uuid.uuid4()}.json"
        found = {
            "run": f"{self.config.cluster_size} {self.config.is_control} {self.config.seed}",
            "node": ray.get_runtime_context().get_node_id(),
            "card": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "own": [str(each) for each in ray.get_gpu_ids()],
            "device": str(self.device),
            "begun": time.time(),
        }
        path.write_text(json.dumps(found))
        deadline = time.monotonic() + START_SECONDS
        while len([*folder.iterdir()]) < int(together().read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        rows = history(*[0.1 * self.config.cluster_size] * (EPOCHS + 1))
        for epoch in range(EPOCHS + 1):
            report(rows[: epoch + 1], None)
            time.sleep(0.2)
            path.write_text(json.dumps({**found, "ended": time.time()}))


@contextlib.contextmanager
def pretending() -> Iterator[None]:
    """Let `Given` run in place of the training, on a card that PyTorch is not asked for, and gloo in place of NCCL."""
    here = {
        (trial, "Training"): Given,
        (trial, "reserved_device"): lambda gpus, card=None: torch.device("cuda" if gpus else "cpu"),
        (trial, "device_name"): str,
        (trial, "_train_in_worker"): in_worker,
        (nested_trainer, "GroupConfig"): lambda gpus: GROUP(backend="gloo"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), stand_in in here.items():
            patch.setattr(module, name, stand_in)
        yield


GROUP = nested_trainer.GroupConfig
RUN_TRIAL, TRAIN_IN_WORKER = trial.run_trial, trial._train_in_worker


def run_trial(job: dict[str, Any], placement: Placement) -> None:
    """The program's own, in a process that pretends."""
    with pretending():
        RUN_TRIAL(job, placement)


def in_worker(loop: dict[str, Any]) -> None:
    """The program's own, in a process that pretends."""
    with pretending():
        TRAIN_IN_WORKER(loop)


def study_of(**resources: Any) -> StudyConfig:
    """Seven trials: a control and six sizes of clusters."""
    return StudyConfig.model_validate({
        "name": "s", "confirm": None, "resources": resources,
        "train": {"proportion": 0.5, "batch_size": 64, "epochs": EPOCHS, "threads": 1},
        "parameters": {"cluster_size": {"values": [2, 4, 8, 16, 24, 32]}},
    })  # fmt: skip


def played(study: StudyConfig, cluster: Cluster, tmp: Path, seen: Events | None = None) -> tuple[StudyEnd, list[Any]]:
    """Run a study; returns its end and what its processes wrote down."""
    place = tmp / uuid.uuid4().hex
    given = Path(os.environ[GIVEN])
    for path in given.iterdir():
        path.unlink()
    folder = StudyFolder.at(place)
    folder.claim(study)
    end = run_study(study, RayExecutor(study, cluster, folder), folder, [seen or Events()])
    return end, [json.loads(path.read_text()) for path in given.iterdir()]


def at_once(found: list[dict[str, Any]], what: Callable[[dict[str, Any]], Any]) -> Counter[Any]:
    """The largest number of processes at a time, by something about them."""
    most: Counter[Any] = Counter()
    for moment in [each["begun"] for each in found]:
        now = Counter(what(each) for each in found if each["begun"] <= moment < each["ended"])
        most |= now
    return most


def card_of(found: dict[str, Any]) -> tuple[str, str]:
    return found["node"], found["card"]


def finish(end: StudyEnd) -> None:
    assert {record.outcome for record in end.records.values()} == {"finished"}, end.failed
    assert len(end.records) == 7


def whole_cards(cluster: Cluster, tmp: Path) -> None:
    """A head without cards is no place for a trial, and unlike nodes are used to the full."""
    study = resolved(study_of(), cluster)
    assert (study.resources.cpus, study.resources.gpus, concurrency(study, cluster)) == (2, 1, 3)
    end, found = played(study, cluster, tmp)
    finish(end)
    assert {each["device"] for each in found} == {"cuda"}
    assert {record.device for record in end.records.values()} == {"cuda"}
    assert all(each["own"] == [each["card"]] for each in found)
    assert at_once(found, card_of) == Counter(dict.fromkeys({*map(card_of, found)}, 1))
    assert len({*map(card_of, found)}) == 3 and len({each["node"] for each in found}) == 2


def shares(cluster: Cluster, tmp: Path) -> None:
    """Halves: two trials on each card at a time, never three. Three quarters: one."""
    for gpus, at_a_time in ((0.5, 2), (0.75, 1)):
        study = resolved(study_of(gpus=gpus, cpus=0.5), cluster)
        assert concurrency(study, cluster) == 3 * at_a_time
        together().write_text(str(3 * at_a_time))
        end, found = played(study, cluster, tmp)
        finish(end)
        assert at_once(found, card_of) == Counter(dict.fromkeys({*map(card_of, found)}, at_a_time))
        assert len({*map(card_of, found)}) == 3


def no_cards(cluster: Cluster, tmp: Path) -> None:
    """Ray hides no card from such a trial, which does not use it all the same."""
    study = resolved(study_of(gpus=0, cpus=2), cluster)
    assert concurrency(study, cluster) == 4
    end, found = played(study, cluster, tmp)
    finish(end)
    assert {each["device"] for each in found} == {"cpu"} and all(each["own"] == [] for each in found)


def several(cluster: Cluster, tmp: Path) -> None:
    """Two workers of a trial have a card each; a third card stays free, since no trial fits it."""
    study = resolved(study_of(workers=2), cluster)
    study = study.model_copy(update={"parameters": {"cluster_size": study.parameters["cluster_size"].model_copy(
        update={"values": [4]})}})  # fmt: skip
    assert concurrency(study, cluster) == 1
    together().write_text("2")
    end, found = played(study, cluster, tmp)
    assert {record.outcome for record in end.records.values()} == {"finished"}, end.failed
    for run in {each["run"] for each in found}:
        workers = [each for each in found if each["run"] == run]
        assert len(workers) == 2 and len({(each["node"], *each["own"]) for each in workers}) == 2, workers


def given_back(cluster: Cluster, tmp: Path) -> None:
    """Killed and stopped trials give their cards back."""
    killed: list[str] = []

    def kill(running: Any, row: Any) -> None:
        if row["epoch"] == 2 and not killed:
            killed.append(running.name)
            kill_actors("ImplicitFunc")

    study = resolved(study_of(), cluster)
    asha = study.model_copy(update={"scheduler": "asha", "asha": study.asha.model_copy(update={"grace_period": 1})})
    seen = Events(kill)
    end, _ = played(asha, cluster, tmp, seen)
    outcomes = Counter(record.outcome for record in end.records.values())
    assert killed and outcomes["stopped"] and outcomes["stopped"] + outcomes["finished"] == 7, outcomes
    assert len(seen.started) > 7
    deadline = time.monotonic() + 60
    while ray.available_resources().get("GPU") != cluster.gpus:
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.2)


def unusable(cluster: Cluster, tmp: Path) -> None:
    """Without pretending: one line, whether a trial has one worker or several."""
    for resources in ({}, {"workers": 2}):
        study = resolved(study_of(**resources), cluster)
        try:
            played(study, cluster, tmp)
        except InputError as error:
            print(error)


SCENES = {each.__name__: each for each in (whole_cards, shares, no_cards, several, given_back, unusable)}


def main(tmp: Path, *scenes: str) -> None:
    """Make the nodes, and play scenes on them."""
    os.environ[GIVEN] = str(tmp / "given")
    Path(os.environ[GIVEN]).mkdir()
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0, "include_dashboard": False})
    nodes.add_node(num_cpus=2, num_gpus=1)
    nodes.add_node(num_cpus=4, num_gpus=2)
    cluster = connect(nodes.address)
    assert sorted((node.cpus, node.gpus) for node in cluster.nodes) == [(2, 0), (2, 1), (4, 2)]
    for name in scenes:
        together().write_text("3")
        with pytest.MonkeyPatch.context() as patch:
            if name != unusable.__name__:
                patch.setattr(ray_executor, "run_trial", run_trial)
            SCENES[name](cluster, tmp)
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real card")
@pytest.mark.parametrize("scene", SCENES)
def test_cards_are_shared_out(scene: str, tmp_path: Path, ray_folder: str) -> None:  # noqa: F811
    out = as_program(__file__, ray_folder, str(tmp_path), scene)
    lines = out.splitlines() if scene == "unusable" else []
    assert len(lines) == (2 if scene == "unusable" else 0)
    assert all(line.startswith("a GPU is reserved on ") for line in lines)


if __name__ == "__main__":
    # by its own name, so that other processes find its functions
    from tests.study.execution import test_pretended_cards

    test_pretended_cards.main(Path(sys.argv[1]), *sys.argv[2:])
