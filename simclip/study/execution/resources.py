"""CPUs and GPUs of a cluster, and how a study shares them out; needs no Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from simclip.errors import InputError
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder

AnyStudy = TypeVar("AnyStudy", bound=StudyConfig)


@dataclass(frozen=True)
class Cluster:
    """The size of a Ray cluster.

    Attributes:
        cpus: CPUs of all nodes.
        gpus: GPUs of all nodes.
        dashboard: Address of the dashboard, or None.
        shared: Whether it was already running, so that other drivers may run on it.
    """

    cpus: float
    gpus: float
    dashboard: str | None
    shared: bool = False


def resolved(study: AnyStudy, cluster: Cluster) -> AnyStudy:
    """The study with the resources of a trial and its number of torch threads filled in.

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


def resolve_for_resume(study: AnyStudy, cluster: Cluster, folder: StudyFolder) -> AnyStudy:
    """The study with its resources filled in, and with the number of threads of its earlier results."""
    return resolved(with_recorded_threads(study, folder), cluster)


def with_recorded_threads(study: AnyStudy, folder: StudyFolder) -> AnyStudy:
    """The study with the number of threads of its earlier results, if there are any and it gives none itself."""
    threads = (folder.recorded() or {}).get("train.threads")
    if study.train.threads is not None or threads is None:
        return study
    return study.model_copy(update={"train": study.train.model_copy(update={"threads": threads})})


def worker_resources(study: StudyConfig) -> dict[str, float]:
    """Resources of one worker of a resolved study, as Ray names them."""
    bundle = {"CPU": study.resources.cpus or 1.0}
    return {**bundle, "GPU": study.resources.gpus} if study.resources.gpus else bundle


def concurrency(study: StudyConfig, cluster: Cluster) -> int:
    """Maximum number of trials at a time: what the cluster holds, or less if the study says so."""
    each = worker_resources(study)
    available = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    fits = min(int(available[name] // (amount * study.resources.workers)) for name, amount in each.items())
    return max(1, min(fits, study.max_concurrent or fits))
