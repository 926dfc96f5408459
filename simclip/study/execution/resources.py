"""CPUs and GPUs of a cluster's nodes, and how a study shares them out; needs no Ray."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from simclip.errors import InputError
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder

AnyStudy = TypeVar("AnyStudy", bound=StudyConfig)

#: Rounding errors of shares such as 1/3; Ray itself counts in steps of 1e-4.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Node:
    """One machine of a Ray cluster.

    Attributes:
        cpus: Number of CPUs.
        gpus: Number of CUDA cards.
        card: Name of its cards; None if it has none.
        bf16: Whether all of its cards multiply in bf16 themselves; None if that is not known.
        address: IP address; empty if the node is of an earlier run.
        id: Ray's name for it; empty likewise.
    """

    cpus: float
    gpus: float = 0.0
    card: str | None = None
    bf16: bool | None = None
    address: str = ""
    id: str = ""

    def slots(self, cpus: float, gpus: float) -> int:
        """Number of workers that fit at a time; each of them uses one card or a share of one."""
        by_cpus = math.floor(self.cpus / cpus + TOLERANCE)
        return min(by_cpus, int(self.gpus) * per_card(gpus)) if gpus else by_cpus

    def __str__(self) -> str:
        card = f" ({self.card})" if self.card else ""
        return f"{self.cpus:g} CPUs" + (f", {self.gpus:g} GPUs{card}" if self.gpus else "")


@dataclass(frozen=True)
class Cluster:
    """The nodes of a Ray cluster.

    Attributes:
        nodes: The nodes that are up.
        dashboard: Address of the dashboard, or None.
        shared: Whether it was already running, so that other drivers may run on it.
    """

    nodes: tuple[Node, ...]
    dashboard: str | None
    shared: bool = False

    @property
    def cpus(self) -> float:
        """CPUs of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        """GPUs of all nodes."""
        return sum(node.gpus for node in self.nodes)

    def slots(self, cpus: float, gpus: float) -> int:
        """Number of workers that fit at a time, none of them spread over two nodes."""
        return sum(node.slots(cpus, gpus) for node in self.nodes)

    @property
    def cpus_per_card(self) -> float:
        """CPUs that each card can have on every node with cards; 0 if no node has both."""
        return min((node.cpus / int(node.gpus) for node in self.nodes if node.cpus and node.gpus >= 1), default=0.0)

    def recorded(self) -> dict[str, Any]:
        """The cluster in results.json."""
        lasting = ("cpus", "gpus", "card", "bf16")
        nodes = [{name: getattr(node, name) for name in lasting} for node in self.nodes]
        return {"cluster_cpus": self.cpus, "cluster_gpus": self.gpus, "nodes": nodes}

    @classmethod
    def of_record(cls, hardware: Mapping[str, Any]) -> Cluster:
        """The cluster of a results.json; before nodes were recorded, it counts as one node."""
        whole = [{"cpus": hardware["cluster_cpus"], "gpus": hardware["cluster_gpus"]}]
        nodes = hardware.get("nodes", whole)
        has = [(node["cpus"], node["gpus"], node.get("card"), node.get("bf16")) for node in nodes]
        return cls(tuple(Node(*each) for each in has), dashboard=None)

    def __str__(self) -> str:
        """The nodes; those that are alike count as one entry."""
        alike: dict[str, list[str]] = {}
        for node in self.nodes:
            alike.setdefault(str(node), []).append(node.address)
        return "; ".join(f"{_named(addresses)}: {what}" for what, addresses in alike.items())


def _named(addresses: list[str]) -> str:
    """Some nodes, by address if there is one."""
    known = [each for each in addresses if each]
    if len(addresses) == 1:
        return " ".join(["node", *known])
    return f"{len(addresses)} nodes" + (f" ({known[0]}, ...)" if known else "")


def per_card(gpus: float) -> int:
    """Number of workers that share a card."""
    return math.floor(1 / gpus + TOLERANCE)


def live_nodes(described: Iterable[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes that are up and have CPUs or GPUs, from what `ray.nodes()` returns."""
    alive = [(node, node["Resources"]) for node in described if node["Alive"]]
    return tuple(
        Node(has.get("CPU", 0.0), *_cards(has), address=node["NodeManagerAddress"], id=node["NodeID"])
        for node, has in alive
        if has.get("CPU") or has.get("GPU")
    )


def _cards(resources: Mapping[str, float]) -> tuple[float, str | None]:
    """Number and kind of a node's cards; Ray counts Apple's GPU (Metal) too, but it is no CUDA card."""
    kind = next((each.partition(":")[2] for each in resources if each.startswith("accelerator_type:")), None)
    gpus = resources.get("GPU", 0.0)
    return (gpus, kind) if gpus and not is_metal(kind) else (0.0, None)


def is_metal(kind: str | None) -> bool:
    """Whether a kind of accelerator, as Ray names it, is Apple's GPU, e.g. M1 or M2-Pro."""
    return bool(kind and re.fullmatch(r"M\d(-\w+)?", kind))


def resolved(study: AnyStudy, cluster: Cluster) -> AnyStudy:
    """The study with the resources, the number of torch threads and the precision of its trials filled in.

    Raises:
        InputError: The cluster cannot hold one trial.
    """
    return _with_precision(_with_resources(study, cluster), cluster)


def _with_precision(study: AnyStudy, cluster: Cluster) -> AnyStudy:
    """The study with one precision for all of its trials, so that an arm and its control never differ in it.

    `auto` is bf16 if all cards that its workers may get have it, else fp32. It stays `auto` if a card is not known.
    """
    if study.train.precision != "auto":
        return study
    found = [node.bf16 for node in _places(study, cluster)]
    if study.resources.gpus and None in found:
        return study
    precision = "bf16" if study.resources.gpus and all(found) else "fp32"
    return study.model_copy(update={"train": study.train.model_copy(update={"precision": precision})})


def _places(study: StudyConfig, cluster: Cluster) -> list[Node]:
    """The nodes on which workers of a study with its resources filled in may run."""
    asked = study.resources
    return [node for node in cluster.nodes if node.slots(asked.cpus or 1.0, asked.gpus or 0.0)]


def device_notes(study: StudyConfig, cluster: Cluster) -> list[str]:
    """What a user may not expect of the devices of a resolved study, a line each."""
    if cluster.gpus and not study.resources.gpus:
        return [f"resources.gpus is 0: the trials run on CPUs, and no GPU is used ({cluster.gpus:g} are there)"]
    places = [node for node in _places(study, cluster) if node.card]
    cards = sorted({node.card for node in places if node.card})
    if len(cards) < 2:
        return []
    without = sorted({node.card for node in places if node.card and node.bf16 is False})
    why = f", since {' and '.join(without)} has no bf16" if without and study.train.precision == "fp32" else ""
    return [f"The cards differ ({', '.join(cards)}): all trials compute in {study.train.precision}{why}; each trial's "
            "record names its card"]  # fmt: skip


def _with_resources(study: AnyStudy, cluster: Cluster) -> AnyStudy:
    """The study with the resources and the number of torch threads of its trials filled in.

    By default a worker gets one GPU and its share of the CPUs, or one CPU where there is no GPU. The share is that of
    the node with the fewest CPUs per card, so that a worker fits each node with cards.

    Raises:
        InputError: The cluster cannot hold one trial.
    """
    asked = study.resources
    if wrong := asked.refusal:
        raise InputError(wrong)
    gpus = asked.gpus if asked.gpus is not None else float(cluster.gpus > 0)
    cpus = asked.cpus or _share_of_cpus(cluster, gpus)
    _check_fits(cluster, asked.workers, cpus, gpus)
    train = study.train
    if train.threads is None:
        train = train.model_copy(update={"threads": max(1, math.floor(cpus))})
    resources = asked.model_copy(update={"cpus": cpus, "gpus": gpus})
    return study.model_copy(update={"resources": resources, "train": train})


def _share_of_cpus(cluster: Cluster, gpus: float) -> float:
    """CPUs of a worker by default: whole ones, or a fraction where several workers share a CPU by sharing a card."""
    if not gpus or not cluster.cpus_per_card:
        return 1.0
    share = cluster.cpus_per_card / per_card(gpus)
    return float(math.floor(share)) if share >= 1 else math.floor(share / 1e-4) * 1e-4


def _check_fits(cluster: Cluster, workers: int, cpus: float, gpus: float) -> None:
    """Refuse a trial for which Ray would wait forever."""
    slots = cluster.slots(cpus, gpus)
    if slots >= workers:
        return
    worker = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    fits = "no such worker fits any node" if not slots else f"only {slots} such workers fit at a time"
    raise InputError(
        f"resources: a trial needs {workers} workers with {worker} each on one node, but {fits} of the cluster "
        f"({cluster}): lower resources.cpus, resources.gpus or resources.workers"
    )


def resolve_for_resume(study: AnyStudy, cluster: Cluster, folder: StudyFolder) -> AnyStudy:
    """The study with its resources filled in, and with the threads and the precision of its earlier results."""
    if folder.recorded() is None:
        return resolved(study, cluster)
    return _with_resources(with_recorded_numerics(study, folder), cluster)


def with_recorded_numerics(study: AnyStudy, folder: StudyFolder) -> AnyStudy:
    """The study with the threads and the precision of its earlier results, if there are any and it gives none itself.

    A precision of `auto` there, of an earlier version, stays: each trial chose it by its card.
    """
    recorded, train = folder.recorded() or {}, study.train
    given = {"threads": train.threads, "precision": None if train.precision == "auto" else train.precision}
    missing = {name: recorded.get(f"train.{name}") for name, value in given.items() if value is None}
    update = {name: value for name, value in missing.items() if value not in (None, "auto")}
    return study.model_copy(update={"train": train.model_copy(update=update)}) if update else study


def worker_resources(study: StudyConfig) -> dict[str, float]:
    """Resources of one worker of a resolved study, as Ray names them."""
    bundle = {"CPU": study.resources.cpus or 1.0}
    return {**bundle, "GPU": study.resources.gpus} if study.resources.gpus else bundle


def concurrency(study: StudyConfig, cluster: Cluster) -> int:
    """Maximum number of trials at a time: what the cluster holds, or less if the study says so.

    The workers of a trial share a node where they can, and are spread over several nodes else: that is how Ray packs
    them. All workers are alike, so no place is lost by it.
    """
    asked = study.resources
    fits = cluster.slots(asked.cpus or 1.0, asked.gpus or 0.0) // asked.workers
    return max(1, min(fits, study.max_concurrent or fits))
