"""A trial of several workers: a Ray Train run nested in a Tune trial, whose reports are passed on to Tune.

Ray's own TuneReportCallback deadlocks if Tune is slow near a trial's last report: its one-item queue is emptied by the
thread that waits for it. Here the controller puts into an unbounded queue, and the trial's thread empties it while
another one waits for the run to end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray.train
import ray.tune
from ray.train import UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.util.queue import Empty, Queue

from simclip.runtime.device import reserved_device
from simclip.runtime.local_ray import reach_other_nodes
from simclip.study.store import layout
from simclip.study.store.storage import Storage

POLL_SECONDS = 0.2


class ReportsToQueue(UserCallback):
    """Puts every report of a Train run into a queue; runs in Train's controller."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Queue the report of the first worker."""
        self.queue.put(metrics[0])


class _Backend(_TorchBackend):
    """Ray's set-up of the process group, after that of what each process needs for it."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_prepare_process, backend_config.gpus)
        super().on_start(worker_group, backend_config)


@dataclass
class GroupConfig(TorchConfig):
    """The process group of a trial's workers.

    Attributes:
        gpus: GPUs of each worker.
    """

    gpus: float = 0.0

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What sets it up."""
        return _Backend


def _prepare_process(gpus: float) -> None:
    """Set what PyTorch reads from the environment when it first uses the network; refuse cards that it cannot use."""
    reach_other_nodes(ray.util.get_node_ip_address(), socket.gethostname())
    reserved_device(gpus)


def fit_nested(
    train_loop: Callable[[dict[str, Any]], None],
    loop_config: dict[str, Any],
    workers: int,
    resources: dict[str, float],
    storage: Storage,
) -> None:
    """Run a training function on several workers and pass their reports to Tune; called inside a Tune trial.

    Args:
        train_loop: The function that each worker runs.
        loop_config: Its argument.
        workers: Number of workers.
        resources: CPUs and GPUs of each worker.
        storage: Where the Train run is stored; it is deleted at the end.

    Raises:
        ray.train.TrainingFailedError: A worker failed.
    """
    # Outside of the trial's own reservation, which is too small for an actor.
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": "DEFAULT"})
    name = ray.tune.get_context().get_trial_id()
    callback: Any = ReportsToQueue(queue)  # Any, because mypy looks up its type in Train V1
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=loop_config,
        torch_config=GroupConfig(gpus=resources.get("GPU", 0.0)),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=f"{storage.root}/{layout.TRAIN}",
            storage_filesystem=storage.arrow,
            callbacks=[callback],
        ),
    )
    outcome: list[BaseException] = []
    runner = threading.Thread(target=_fit, args=(trainer, outcome), daemon=True)
    runner.start()
    for metrics in _reports(queue, runner):
        ray.tune.report(metrics)
    queue.shutdown()
    if outcome:
        raise outcome[0]
    storage.delete(f"{layout.TRAIN}/{name}")


def _fit(trainer: TorchTrainer, outcome: list[BaseException]) -> None:
    try:
        trainer.fit()
    except BaseException as error:
        outcome.append(error)


def _reports(queue: Queue, runner: threading.Thread) -> Iterator[dict[str, Any]]:
    """The queued reports, until the run has ended and the queue is empty."""
    while True:
        ended = not runner.is_alive()
        try:
            yield queue.get(timeout=POLL_SECONDS)
        except Empty:
            if ended:
                return
