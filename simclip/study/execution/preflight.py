"""What can be said about a study's input before any trial starts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import ray
from ray.exceptions import NodeDiedError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from simclip.errors import InputError
from simclip.study.analysis.confirm import confirm_config
from simclip.study.spec.arms import Arm, foreseen_arms
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.storage import Storage
from simclip.train.config import TrainConfig
from simclip.train.precompute import prepare
from simclip.train.preflight import check_inputs, check_metric


def check_study(study: StudyConfig) -> None:
    """Look at every file that any arm would read, each kind of input once.

    Raises:
        InputError: The first thing that is wrong, naming the arm if others are right.
    """
    inputs = arms_by_input(study)
    for arm in inputs:
        try:
            check_inputs(arm.config, study.resources.workers)
            if study.test:
                check_metric(arm.config, study.confirmed_metric, "test_metric")
        except InputError as error:
            raise error if len(inputs) == 1 else InputError(f"arm {arm.name}: {error}") from None


def prepare_study(study: StudyConfig) -> list[str]:
    """Make on this machine what all trials share, each kind of input once.

    Returns:
        Lines about what was left out or cut.

    Raises:
        InputError: Model or data are not as they should be.
    """
    return list(dict.fromkeys(line for arm in arms_by_input(study) for line in prepare(arm.config)))


def prepare_nodes(study: StudyConfig, storage: Storage) -> list[str]:
    """Check and prepare on every other node that trials may run on what `prepare_study` has made on this one.

    A node that joins later makes what it lacks when its first trial begins.

    Args:
        study: Checked and prepared here.
        storage: Of its results, which each node has to reach; the study's file lies there.

    Returns:
        Lines about what was left out or cut, as far as they differ from this node's.

    Raises:
        InputError: The first thing that is wrong, naming the node.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    there = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes if node != here}
    answers = {node: _prepare.options(scheduling_strategy=it).remote(study, storage) for node, it in there.items()}
    lines = []
    for node, answer in answers.items():
        try:
            said, wrong = ray.get(answer)
        except (NodeDiedError, WorkerCrashedError, TaskUnschedulableError):
            continue  # gone already: no trial will run there
        name = f"node {nodes[node]['NodeManagerAddress']}"
        if wrong:
            raise InputError(f"{name}: {wrong}")
        lines += [f"{name}: {line}" for line in said]
    return lines


@ray.remote(num_cpus=0)
def _prepare(study: StudyConfig, storage: Storage) -> tuple[list[str], str | None]:
    """What is to be said about this node, and what is wrong with it."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            if not storage.fetch(layout.STUDY, Path(scratch)).is_file():
                raise InputError(f"{storage} is another folder there: give one that every node sees, or s3://...")
        check_study(study)
        return prepare_study(study), None
    except InputError as error:
        return [], str(error)


def arms_by_input(study: StudyConfig) -> list[Arm]:
    """One arm for each kind of input that the study reads, the confirm stage's test sets included."""
    found, read = foreseen_arms(study), set(TrainConfig.fields_with("reads_data"))
    arms = [replace(arm, config=confirm_config(study, arm.config)) for arm in found]
    return list({arm.config.model_dump_json(include=read): arm for arm in arms}.values())
