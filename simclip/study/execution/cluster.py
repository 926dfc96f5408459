"""The Ray cluster that a study runs on: connecting, preparing its nodes, owning a results folder on it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import (
    ActorAlreadyExistsError,
    AuthenticationError,
    NodeDiedError,
    RayError,
    RayTaskError,
    TaskUnschedulableError,
    WorkerCrashedError,
)
from ray.tune import PlacementGroupFactory
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from simclip.config.uris import is_uri
from simclip.errors import InputError, full_disk_error, input_error
from simclip.runtime.device import Cards
from simclip.runtime.local_ray import prepare_private_ray
from simclip.study.execution.ownership import PATIENCE_SECONDS, Owner, own_file, patiently, refusal
from simclip.study.execution.preflight import check_study, prepare_study
from simclip.study.execution.resources import Cluster, Node, live_nodes, worker_resources
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.storage import Storage

#: Namespace of the actors that stand for owned folders.
NAMESPACE = "simclip"
#: Connection timeout, in seconds.
CONNECT_SECONDS = 10.0
#: How to pass the token of a cluster that asks for one.
TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to what `ray get-auth-token` prints there"
#: How Ray is told to keep its log lines to itself.
QUIETLY: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
#: Errors of a task on a node that is lost.
GONE = (NodeDiedError, WorkerCrashedError, TaskUnschedulableError)
#: Resources of the driver of a nested trainer: a sliver of the head, since it only waits.
DRIVER = {"node:__internal_head__": 0.001}


def connect(address: str | None = None) -> Cluster:
    """Connect to a Ray cluster, or start one on this machine.

    Args:
        address: Address of a running cluster; by default $RAY_ADDRESS, else a local cluster is started.

    Raises:
        InputError: No cluster answers there, or it does not accept the token.
    """
    # Our own records, tables and log files replace Ray's.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # nobody reads the state of all trials that Tune would write
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"  # the executor decides how many trials wait
    os.environ["TUNE_ONLY_STORE_CHECKPOINT_SCORE_ATTRIBUTE"] = "1"  # and not the results of all epochs
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "64")  # fewer bring warnings about nested trainers
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune's handler makes fit() return as if it had finished
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _check_answers(address)
    try:
        context = _start() if address == "local" else ray.init(address=address, **QUIETLY)
    except (ConnectionError, AuthenticationError) as error:
        if address == "local":
            raise
        reasons = f"{error} {error.__cause__}"
        token = f"the cluster asks for a token: {TOKEN}" if "token" in reasons else " ".join(reasons.split())
        raise InputError(f"Ray cluster at {address}: {token}") from None
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are in the trial's record and log
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else None
    return Cluster(_with_cards(live_nodes(ray.nodes())), dashboard, address != "local")


def _with_cards(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, with the cards that PyTorch sees there; a node that does not answer stays as Ray describes it."""
    on = {node: NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes if node.gpus}
    asked = {node: _cards.options(scheduling_strategy=where).remote() for node, where in on.items()}
    seen: dict[Node, Node] = {}
    for node, answer in asked.items():
        with contextlib.suppress(*GONE):
            if cards := result_of(answer):
                seen[node] = replace(node, card=" and ".join(cards.names), bf16=cards.bf16)
    return tuple(seen.get(node, node) for node in nodes)


@ray.remote(num_cpus=0)  # without a GPU, Ray hides none
def _cards() -> Cards | None:
    return Cards.seen()


def _start() -> Any:
    """Start a Ray on this machine that only this user can use.

    On macOS without a GPU: Ray would count Apple's, which is no CUDA card, and run one trial at a time.

    Its servers listen on loopback, by Ray's own switch for machines that never join a cluster (on by default on macOS
    alone). `_node_ip_address="127.0.0.1"` does not do it: Ray replaces it by an outer address.
    """
    folder = prepare_private_ray()
    clustered, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        gpus = 0 if sys.platform == "darwin" else None
        return ray.init(address="local", num_gpus=gpus, _temp_dir=str(folder), include_dashboard=True, **QUIETLY)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clustered


def _check_answers(address: str) -> None:
    """Refuse an address where nothing answers; Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise InputError(
            f"--address {address}: expected HOST:PORT of the Ray cluster's head, such as 10.0.0.1:6379, or auto on a "
            "machine of the cluster; from elsewhere, `python tune.py submit` takes the address of its dashboard"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}); is it up, and the port its GCS's?"
        ) from None


def placement(study: StudyConfig) -> PlacementGroupFactory:
    """Resources that Tune reserves for one trial of a resolved study."""
    if study.resources.workers > 1:
        return PlacementGroupFactory([DRIVER])
    return PlacementGroupFactory([worker_resources(study)])


def is_lost() -> bool:
    """Whether the Ray node of this process is lost, so that no trial can start any more."""
    here = ray.get_runtime_context().get_node_id()
    return not any(node["Alive"] for node in ray.nodes() if node["NodeID"] == here)


def result_of(task: Any) -> Any:
    """Wait for a Ray task; wrong input or a full disk there is raised as the task raised it, and not as Ray's error.

    The text of Ray's error is a whole traceback.
    """
    try:
        return ray.get(task)
    except RayTaskError as error:
        raise input_error(error) or full_disk_error(error) or error from None


def prepare_nodes(study: StudyConfig, storage: Storage) -> list[str]:
    """Check the study's input on every other node, and prepare what `prepare_study` has prepared on this one.

    A node that joins later prepares what it lacks when its first trial starts.

    Args:
        study: The study, checked and prepared on this node.
        storage: The storage of its results, which every node has to reach; the study file lies there.

    Returns:
        Lines about data that were left out or shortened on other nodes.

    Raises:
        InputError: The first error, with the node's address.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    there = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes if node != here}
    answers = {node: _prepare.options(scheduling_strategy=it).remote(study, storage) for node, it in there.items()}
    lines = []
    for node, answer in answers.items():
        name = f"node {nodes[node]['NodeManagerAddress']}"
        try:
            notes = result_of(answer)
        except GONE:
            continue  # the node is lost; no trial will run there
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        lines += [f"{name}: {line}" for line in notes]
    return lines


@ray.remote(num_cpus=0)
def _prepare(study: StudyConfig, storage: Storage) -> list[str]:
    """Check and prepare on this node; returns the lines to show about it."""
    with tempfile.TemporaryDirectory() as scratch:
        if not storage.fetch(layout.STUDY, Path(scratch)).is_file():
            raise InputError(f"{storage} is another folder there: give one that every node sees, or s3://...")
    check_study(study)
    return prepare_study(study)


class OwnerActor:
    """The named actor that stands for an owned results folder on a cluster."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def owner(self) -> Owner:
        """The driver that made the actor."""
        return self._owner


@contextlib.contextmanager
def own_folder(results: Path | str, shared: bool, patience: float = PATIENCE_SECONDS) -> Iterator[Callable[[], None]]:
    """Own a results folder while the block runs, or until this process dies.

    Yields a function to call when the study has run to its end. On file systems without locks, only the cluster's lock
    protects the folder.

    Args:
        results: The folder, created if missing; or a URI, which only the cluster's lock can protect.
        shared: Whether other drivers may run on the connected Ray cluster.
        patience: Seconds to wait for a lock whose owner may have just died.

    Raises:
        InputError: Another driver owns it.
    """
    owner, uri = Owner.me(), is_uri(results)
    with contextlib.ExitStack() as locks:
        done: Callable[[], None] = lambda: None  # noqa: E731
        if not uri:
            done = locks.enter_context(own_file(Path(results).absolute(), owner, patience))
        if shared or uri:
            locks.enter_context(_own_name(str(results if uri else Path(results).absolute()), owner, patience))
        yield done


@contextlib.contextmanager
def _own_name(results: str, owner: Owner, patience: float) -> Iterator[None]:
    kind = ray.remote(OwnerActor).options(name=results, namespace=NAMESPACE, num_cpus=0)
    made: list[Any] = []

    def make() -> bool:
        with contextlib.suppress(ActorAlreadyExistsError):
            made.append(kind.remote(owner))
        return bool(made)

    if not patiently(make, patience):
        raise refusal(results, _named_owner(results))
    try:
        yield
    finally:
        with contextlib.suppress(RayError):  # the lock is lost together with the cluster
            ray.kill(made[0])


def _named_owner(results: str) -> Owner | None:
    """The owner according to the named actor; None if the actor has just died."""
    with contextlib.suppress(ValueError, RayError):
        return ray.get(ray.get_actor(results, namespace=NAMESPACE).owner.remote(), timeout=PATIENCE_SECONDS)
    return None
