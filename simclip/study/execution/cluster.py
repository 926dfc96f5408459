"""The Ray cluster that a study runs on, and what of it each trial gets."""

from __future__ import annotations

import logging
import math
import os
import socket
from dataclasses import dataclass
from typing import TypeVar

import ray
from ray.exceptions import AuthenticationError
from ray.tune import PlacementGroupFactory

from simclip.errors import InputError
from simclip.study.spec.study import StudyConfig

AnyStudy = TypeVar("AnyStudy", bound=StudyConfig)

#: A head that does not take a connection by then is not there.
CONNECT_SECONDS = 10.0
#: What to do where a cluster asks for one.
TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to what `ray get-auth-token` prints there"
#: What the driver of a nested trainer asks for: a sliver of the head, since it only waits.
DRIVER = {"node:__internal_head__": 0.001}


@dataclass(frozen=True)
class Cluster:
    """What a connected Ray cluster has.

    Attributes:
        cpus: CPUs of all nodes.
        gpus: GPUs of all nodes.
        dashboard: Address of the dashboard, or None.
        shared: Whether it was there before, so that other drivers may run on it.
    """

    cpus: float
    gpus: float
    dashboard: str | None
    shared: bool = False


def connect(address: str | None = None) -> Cluster:
    """Connect to a Ray cluster, or start one on this machine.

    Args:
        address: Of a running cluster; by default $RAY_ADDRESS, else a local one is started.

    Raises:
        InputError: Nobody answers there, or not to this token.
    """
    # Our own records, tables and log files say what Ray's would.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", "64")  # else it warns of nested trainers' processes
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune's makes fit() return as if all were done
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _check_answers(address)
    try:
        # The dashboard is on loopback unless the cluster was started otherwise.
        context = ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR,
            include_dashboard=address == "local" or None,
        )  # fmt: skip
    except (ConnectionError, AuthenticationError) as error:
        if address == "local":
            raise
        reasons = f"{error} {error.__cause__}"
        token = f"the cluster asks for a token: {TOKEN}" if "token" in reasons else " ".join(reasons.split())
        raise InputError(f"Ray cluster at {address}: {token}") from None
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails stands in the trial's record and log
    resources = ray.cluster_resources()
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else None
    return Cluster(resources.get("CPU", 0), resources.get("GPU", 0), dashboard, address != "local")


def _check_answers(address: str) -> None:
    """Ask the address of a cluster's head; Ray itself would wait for it for minutes."""
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


def resolved(study: AnyStudy, cluster: Cluster) -> AnyStudy:
    """The study with the resources of a trial and its torch threads filled in, as a rerun needs them.

    By default a worker gets one GPU and its share of the CPUs, or one CPU where there is no GPU.

    Raises:
        InputError: The cluster cannot hold one trial.
    """
    asked = study.resources
    gpus = asked.gpus if asked.gpus is not None else float(cluster.gpus > 0)
    cpus = asked.cpus or (max(1.0, cluster.cpus // cluster.gpus * gpus) if gpus and cluster.gpus else 1.0)
    for name, each, there in (("cpus", cpus, cluster.cpus), ("gpus", gpus, cluster.gpus)):
        if each * asked.workers > there:
            raise InputError(
                f"resources: a trial of {asked.workers} workers with {each:g} {name} each does not fit "
                f"the cluster's {there:g} {name}: lower resources.{name} or resources.workers"
            )
    train = study.train
    if train.threads is None:
        train = train.model_copy(update={"threads": max(1, math.floor(cpus))})
    resources = asked.model_copy(update={"cpus": cpus, "gpus": gpus})
    return study.model_copy(update={"resources": resources, "train": train})


def placement(study: StudyConfig) -> PlacementGroupFactory:
    """What Tune reserves for one trial of a resolved study."""
    if study.resources.workers > 1:
        return PlacementGroupFactory([DRIVER])
    return PlacementGroupFactory([worker_resources(study)])


def worker_resources(study: StudyConfig) -> dict[str, float]:
    """What one worker of a resolved study gets."""
    bundle = {"CPU": study.resources.cpus or 1.0}
    return {**bundle, "GPU": study.resources.gpus} if study.resources.gpus else bundle


def concurrency(study: StudyConfig, cluster: Cluster) -> int:
    """Trials that run at a time: as many as the cluster holds, or the study allows."""
    each = worker_resources(study)
    there = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    fits = min(int(there[name] // (amount * study.resources.workers)) for name, amount in each.items())
    return max(1, min(fits, study.max_concurrent or fits))


def is_lost() -> bool:
    """Whether the Ray node that this process is connected to has gone, so that nothing will start any more."""
    here = ray.get_runtime_context().get_node_id()
    return not any(node["Alive"] for node in ray.nodes() if node["NodeID"] == here)
