"""What runs inside a trial: the training function, always within a Ray Train TorchTrainer.

One worker: Train's local mode, in the trial's own process, which Tune reuses for the next trial. Several workers: a
nested trainer, whose reports cross over to Tune (see `bridge`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclip.runtime.gc import paused_gc

with paused_gc():  # the processes of a trial begin here
    import ray.train
    import ray.train.torch
    import ray.tune
    import torch
    from ray.train.torch import TorchTrainer

    from simclip.runtime.scratch import scratch_folder
    from simclip.study.execution.nested_trainer import fit_nested
    from simclip.study.store import layout
    from simclip.study.store.storage import Storage
    from simclip.train.config import TrainConfig
    from simclip.train.history import Row
    from simclip.train.loop import Report, Training


@dataclass(frozen=True)
class Placement:
    """How the trials of a study run; the same for all of them.

    Attributes:
        workers: Processes of a trial.
        worker_resources: What each of them gets, as Ray names it.
        storage: Of the study's results.
    """

    workers: int
    worker_resources: dict[str, float]
    storage: Storage


def run_trial(job: dict[str, Any], placement: Placement) -> None:
    """The function that Tune calls: one trial from start to end, or from the checkpoint that it names.

    Args:
        job: A trial as `arms.tune_config` makes it; its checkpoint is a key of the storage.
        placement: How it runs.
    """
    loop = {"job": job, "placement": placement}
    if placement.workers == 1:
        TorchTrainer(_train_here, train_loop_config=loop, scaling_config=ray.train.ScalingConfig(num_workers=0)).fit()
    else:
        fit_nested(_train_in_worker, loop, placement.workers, placement.worker_resources, placement.storage)


def _train_here(loop: dict[str, Any]) -> None:
    """Local mode: the trial's own process reports to Tune."""
    gpus = loop["placement"].worker_resources.get("GPU", 0)
    if 0 < gpus < 1:
        torch.cuda.set_per_process_memory_fraction(gpus)

    def report(history: list[Row], folder: Path | None) -> None:
        checkpoint = ray.tune.Checkpoint.from_directory(folder) if folder else None
        ray.tune.report(tune_result(history), checkpoint=checkpoint)

    train_trial(loop["job"], loop["placement"], report)


def _train_in_worker(loop: dict[str, Any]) -> None:
    """One of several workers of a nested trainer: reports to Train, whose controller passes it on."""

    def report(history: list[Row], folder: Path | None) -> None:
        checkpoint = ray.train.Checkpoint.from_directory(folder) if folder else None
        ray.train.report(tune_result(history), checkpoint=checkpoint)

    first = ray.train.get_context().get_world_rank() == 0
    train_trial(loop["job"], loop["placement"], report, ray.train.torch.get_device(), first)


def train_trial(
    job: dict[str, Any], placement: Placement, report: Report, device: torch.device | None = None, first: bool = True
) -> None:
    """Train in this process, one of the trial's workers.

    Args:
        job: The trial, as for `run_trial`.
        placement: How it runs.
        report: Called after each epoch with the history and the folder of the checkpoint, if there is one.
        device: Where to compute; by default a GPU if there is one.
        first: Whether this is the first worker, which stores the log.

    Raises:
        torch.OutOfMemoryError: The GPU has too little memory; the message says what to change.
    """
    config, checkpoint, storage = TrainConfig(**job["train"]), job["checkpoint"], placement.storage
    try:
        with scratch_folder() as scratch, _logged(storage, job["trial"], scratch, first) as send_log:

            def sent(history: list[Row], folder: Path | None) -> None:
                send_log()
                report(history, folder)

            training = Training(config, scratch / "epochs", device)
            if checkpoint is not None:
                training.resume(storage.fetch(checkpoint, scratch))
            training.run(sent)
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(_memory_advice(config, placement.workers, error)) from error


def _memory_advice(config: TrainConfig, workers: int, error: Exception) -> str:
    rows = config.micro_batch_size or config.batch_size // workers
    return (
        f"{str(error).splitlines()[0]} To fit: micro_batch_size={max(1, rows // 2)} (the same result in two passes), "
        f"or a smaller batch_size than {config.batch_size}"
    )


def tune_result(history: list[Row]) -> dict[str, Any]:
    """What Tune gets after an epoch: its number, the objective, and the whole history for the record."""
    return {"epoch": history[-1]["epoch"], "metric": history[-1]["metric"], "history": history}


@contextmanager
def _logged(storage: Storage, trial: str, scratch: Path, first: bool) -> Iterator[Callable[[], None]]:
    """The training's log lines in the trial's file, which the first worker stores now and then, and in the end."""
    key = f"{layout.LOGS}/{trial}.log"
    path = storage.fetch(key, scratch)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = logging.getLogger("simclip")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def send() -> None:
        if first:
            storage.send(path, key)

    try:
        yield send
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()
        send()
