"""A trial of several workers: a Ray Train run nested in a Tune trial, its reports handed on to Tune.

Ray's own TuneReportCallback gives Tune no checkpoint, and blocks for good when Tune is slow near a trial's last report:
its one-item queue is emptied by the thread that waits in it. Here the controller puts into an unbounded queue, and the
trial's thread empties it while another one waits for the run to end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray.train
import ray.tune
from ray.train import UserCallback
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from simclip.study.store import layout
from simclip.study.store.storage import Storage

POLL_SECONDS = 0.2


class ReportsToQueue(UserCallback):
    """Puts every report of a Train run, with the place of its checkpoint, into a queue; runs in Train's controller."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Pass on what the first worker reported."""
        self.queue.put((metrics[0], checkpoint.path if checkpoint else None))


def fit_nested(
    train_loop: Callable[[dict[str, Any]], None],
    loop_config: dict[str, Any],
    workers: int,
    resources: dict[str, float],
    storage: Storage,
) -> None:
    """Run a training function on several workers and report to Tune what they report; called inside a Tune trial.

    Args:
        train_loop: The function that each worker runs.
        loop_config: Its argument.
        workers: How many.
        resources: CPUs and GPUs of each.
        storage: Holds the Train runs; this one's part is emptied in the end.

    Raises:
        ray.train.TrainingFailedError: A worker failed.
    """
    # Beside the trial's own reservation, which is too small for an actor.
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": "DEFAULT"})
    name = ray.tune.get_context().get_trial_id()
    callback: Any = ReportsToQueue(queue)  # whose type mypy looks up in Train's first version
    trainer = TorchTrainer(
        train_loop,
        train_loop_config=loop_config,
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
    earlier = None
    for metrics, path in _reports(queue, runner):
        ray.tune.report(metrics, checkpoint=ray.tune.Checkpoint(path, storage.arrow) if path else None)
        # Tune has its own copy; Train keeps the latest, to restart workers from.
        if earlier:
            storage.delete(storage.key(earlier))
        earlier = path
    queue.shutdown()
    if outcome:
        raise outcome[0]
    storage.delete(f"{layout.TRAIN}/{name}")


def _fit(trainer: TorchTrainer, outcome: list[BaseException]) -> None:
    try:
        trainer.fit()
    except BaseException as error:
        outcome.append(error)


def _reports(queue: Queue, runner: threading.Thread) -> Iterator[tuple[dict[str, Any], str | None]]:
    """What comes through the queue, until the run has ended and the queue is empty."""
    while True:
        ended = not runner.is_alive()
        try:
            yield queue.get(timeout=POLL_SECONDS)
        except Empty:
            if ended:
                return
