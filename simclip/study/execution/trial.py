"""The function that runs inside a trial, always in a Ray Train TorchTrainer.

One worker uses Train's local mode in the trial's own process, which Tune reuses for the next trial. Several workers use
a nested trainer (see `nested_trainer`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclip.runtime.gc import paused_gc

with paused_gc():  # processes of trials start here
    import ray.train
    import ray.train.torch
    import ray.tune
    import torch
    from ray.train.torch import TorchTrainer

    from simclip.evaluation.items import Items, items_bytes
    from simclip.runtime.device import device_name, reserved_device
    from simclip.runtime.scratch import scratch_folder
    from simclip.study.execution.nested_trainer import fit_nested
    from simclip.study.store import layout
    from simclip.study.store.folder import ATTEMPT
    from simclip.study.store.storage import Storage
    from simclip.train.config import TrainConfig
    from simclip.train.history import Row, best_row
    from simclip.train.loop import Report, Training
    from simclip.train.memory import memory_checked


@dataclass(frozen=True)
class Placement:
    """How the trials of a study run.

    Attributes:
        workers: Number of processes of a trial.
        worker_resources: Resources of each process, as Ray names them.
        storage: Where the study's results lie.
    """

    workers: int
    worker_resources: dict[str, float]
    storage: Storage

    @property
    def gpus(self) -> float:
        """GPUs of each process."""
        return self.worker_resources.get("GPU", 0.0)


def run_trial(job: dict[str, Any], placement: Placement) -> None:
    """Run one trial from its start or from a checkpoint; called by Tune.

    Args:
        job: The trial as a dict (see `arms.tune_config`); its checkpoint is a key of the storage.
        placement: How the trial runs.
    """
    attempt = f"{job['trial']}{ATTEMPT}{ray.tune.get_context().get_trial_id()}"
    loop = {"job": job, "placement": placement, "attempt": attempt}
    if placement.workers == 1:
        TorchTrainer(_train_here, train_loop_config=loop, scaling_config=ray.train.ScalingConfig(num_workers=0)).fit()
    else:
        fit_nested(_train_in_worker, loop, placement.workers, placement.worker_resources, placement.storage)


def _train_here(loop: dict[str, Any]) -> None:
    """Train in the trial's own process (local mode) and report to Tune."""
    device = reserved_device(loop["placement"].gpus)
    train_trial(
        **loop,
        report=lambda history, folder: ray.tune.report(tune_result(history, device_name(device))),
        device=device,
    )


def _train_in_worker(loop: dict[str, Any]) -> None:
    """Train as one of several workers of a nested trainer and report to Train."""
    device = reserved_device(loop["placement"].gpus, ray.train.torch.get_device())
    train_trial(
        **loop,
        report=lambda history, folder: ray.train.report(tune_result(history, device_name(device))),
        device=device,
        first=ray.train.get_context().get_world_rank() == 0,
    )


def train_trial(
    job: dict[str, Any],
    placement: Placement,
    attempt: str,
    report: Report,
    device: torch.device,
    first: bool = True,
) -> None:
    """Train in this process, one of the trial's workers.

    Checkpoints are written where they stay: on a disk that all nodes share into the study's results, which nothing
    copies; for a bucket into a temporary folder, and then sent.

    Args:
        job: The trial, as for `run_trial`.
        placement: How the trial runs.
        attempt: Name of the folder for its checkpoints, in `layout.TUNE`.
        report: Called after each epoch with the history and the folder of the checkpoint, if it has one, which is in
            the storage by then (see `Training.run`).
        device: Where to compute.
        first: Whether this is the first worker, which stores the log.

    Raises:
        ArmError: The arm cannot be planned on these data, or there is too little memory; says what to change.
    """
    config, checkpoint, storage = TrainConfig(**job["train"]), job["checkpoint"], placement.storage
    with scratch_folder() as scratch, _logged(storage, job["trial"], scratch, first) as send_log:
        key = f"{layout.TUNE}/{attempt}"
        checkpoints = storage.fetch(key, scratch)

        def sent(history: list[Row], folder: Path | None) -> None:
            send_log()
            if folder is not None:
                storage.replicate(checkpoints, key)
            report(history, folder)

        def keep_items(history: list[Row], items: dict[str, tuple[Items, ...]]) -> None:
            if first and job["stage"] == "confirm" and best_row(history, config.mode) is history[-1]:
                content = items_bytes(history[-1]["epoch"], items)
                storage.replace(f"{layout.TRIALS}/{job['trial']}{layout.ITEMS}", content, scratch)

        with memory_checked(config, placement.workers):
            training = Training(config, checkpoints, device)
            if checkpoint is not None:
                training.resume(storage.fetch(checkpoint, scratch))
            training.run(sent, keep_items)


def tune_result(history: list[Row], device: str) -> dict[str, Any]:
    """The result reported to Tune after an epoch: its number and objective, and for the record history and device."""
    last = history[-1]
    return {"epoch": last["epoch"], "metric": last["metric"], "history": history, "device": device}


@contextmanager
def _logged(storage: Storage, trial: str, scratch: Path, first: bool) -> Iterator[Callable[[], None]]:
    """Write the training's log lines to the trial's log file; yields a function that stores it (first worker only)."""
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
