"""One of two gloo processes: a script that runs a function of this module and saves what it finds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from simclip.clusters.methods import NAMES
from simclip.errors import InputError
from simclip.evaluation import ranks
from simclip.evaluation.kinds.retrieval import recall_metrics
from simclip.runtime.timer import Timer
from simclip.runtime.workers import Workers
from simclip.train import loop
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.planning import Planner

ROOT = Path(__file__).parents[2]


WORKERS = 2


#: How long a group waits whose second worker is late.
PATIENCE_SECONDS = 10


class Recorded(Planner):
    """Keeps the plans of its epochs."""

    plans: tuple[np.ndarray, ...] = ()

    def plan(self, epoch: int, watch: Timer | None = None) -> Iterator[np.ndarray]:
        plan = list(super().plan(epoch, watch))
        self.plans = (*self.plans, np.stack(plan))
        return iter(plan)


def gradients_of_a_step(config: TrainConfig, folder: Path) -> dict[str, torch.Tensor]:
    """After the first batch of the first epoch, the loss included."""
    training = Training(config, folder)
    plan = np.stack(list(training.planner.plan(0)))[:1]
    (batch,) = training.data.batches(plan, training.share, config.seed, 0)
    loss = training.step(batch)
    named = training.clip.model.named_parameters()
    return {"loss": loss, **{name: p.grad for name, p in named if p.grad is not None}}


def run(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """A whole training run."""
    training = Training(config, folder)
    training.planner = planner = Recorded(config, training.data, training.encoder)
    reports: list[tuple[int, bool]] = []
    history = training.run(lambda history, checkpoint: reports.append((len(history), checkpoint is not None)))
    weights = {name: tensor.clone() for name, tensor in training.clip.model.state_dict().items()}
    return {
        "history": history,
        "plans": np.stack(planner.plans),
        "weights": weights,
        "reports": reports,
        "has_neighbours": planner.offline is not None,
    }


def plans_by_method(config: TrainConfig, folder: Path) -> dict[str, np.ndarray]:
    """The plan of an epoch by each method of making batches."""
    plans = {}
    for name in NAMES:
        training = Training(config.model_copy(update={"batching": name, "skip_nearest": 1}), folder / name)
        plans[name] = np.stack(list(training.planner.plan(0)))
    return plans


def facts(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """All that the tests compare."""
    offline = config.model_copy(update={"embeddings": "offline", "similarity": "image", "epochs": 1})
    sigmoid = config.model_copy(update={"model": str(config.train_tsv.parent / "siglip_2")})
    workers = Workers.current()
    return {
        "gradients": gradients_of_a_step(config, folder / "step"),
        "run": run(config, folder / "run"),
        "offline": run(offline, folder / "offline"),
        "methods": plans_by_method(config, folder / "methods"),
        "in_parts": gradients_of_a_step(config.model_copy(update={"micro_batch_size": 3}), folder / "parts"),
        "sigmoid": gradients_of_a_step(sigmoid, folder / "sigmoid"),
        "sigmoid_in_parts": gradients_of_a_step(
            sigmoid.model_copy(update={"micro_batch_size": 3}), folder / "sigmoid-parts"
        ),
        "lora": gradients_of_a_step(config.model_copy(update={"lora_rank": 2}), folder / "lora"),
        "lora_in_parts": gradients_of_a_step(
            config.model_copy(update={"lora_rank": 2, "micro_batch_size": 3}), folder / "lora-parts"
        ),
        "frozen": gradients_of_a_step(config.model_copy(update={"freeze": "image"}), folder / "frozen"),
        "streamed": [each.tolist() for each in workers.stream(counting(workers), 3, 2)],
        "broken": broken_stream(workers),
        "gathered": workers.gather(torch.full((1, 2), float(workers.rank))),
        "on_host": [workers.gather_on_host(torch.full((1, 2), float(workers.rank)), each) for each in (True, False)],
        "recall": shared_recall(workers),
        "any": [workers.any(flag, torch.device("cpu")) for flag in (False, workers.rank == workers.size - 1, True)],
    }


def shared_recall(workers: Workers) -> dict[str, Any]:
    """The recall of made-up embeddings, ranked in blocks of a few queries, and how many of these this worker ranked."""
    draw = torch.Generator().manual_seed(0)
    images, captions = (torch.randn(n, 8, generator=draw) for n in (7, 31))
    ranked: list[int] = []
    block = ranks._block_ranks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "BLOCK_ELEMENTS", 64)
        patch.setattr(ranks, "_block_ranks", lambda *of: (ranked.append(len(of[0])), block(*of))[1])
        found = recall_metrics(images, captions, torch.arange(31) % 7, ranking=partial(ranks.ranks, workers=workers))
    return {"metrics": {name: float(value) for name, value in found.items()}, "ranked": sum(ranked)}


def counting(workers: Workers) -> Iterator[np.ndarray] | None:
    """What the first worker has for the others."""
    return iter(np.arange(6).reshape(3, 2)) if workers.is_first else None


def broken_stream(workers: Workers) -> str:
    """The error of every worker when the first one cannot go on after one array."""

    def once() -> Iterator[np.ndarray]:
        yield np.arange(2)
        raise InputError("no more")

    try:
        return str(list(workers.stream(once() if workers.is_first else None, 3, 2)))
    except (InputError, RuntimeError) as error:
        return str(error)


def one_that_is_late(config: TrainConfig, folder: Path) -> list[str]:
    """The names of the gradients where the second worker takes longer to load its data than the group waits."""
    load_data = loop.load_data

    def slowly(*arguments: Any) -> Any:
        time.sleep(2 * PATIENCE_SECONDS * dist.get_rank())
        return load_data(*arguments)

    loop.load_data = slowly
    return [*gradients_of_a_step(config, folder)]


def main(folder: Path, find: str, rank: int) -> None:
    """One of two workers."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS,
        timeout=timedelta(seconds=PATIENCE_SECONDS if find == one_that_is_late.__name__ else 600),
    )  # fmt: skip
    config = TrainConfig.model_validate_json((folder / "config.json").read_text())
    torch.save(globals()[find](config, folder / "shared"), folder / f"{rank}.pt")
    dist.destroy_process_group()


def in_two_processes(
    find: Callable[[TrainConfig, Path], Any], config: TrainConfig, folder: Path, caches: list[Path]
) -> list[Any]:
    """What a function of this file finds in each of two processes, which have a cache each."""
    (folder / "config.json").write_text(config.model_dump_json())
    command = [sys.executable, str(Path(__file__)), str(folder), find.__name__]
    setting = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank)], env={**setting, "SIMCLIP_CACHE": str(cache)}, stderr=subprocess.PIPE)
        for rank, cache in enumerate(caches)
    ]
    try:
        errors = [process.communicate(timeout=180)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORKERS)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
