"""Two gloo processes do what one process does. Run as a script, this file is one of them."""

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
from simclip.evaluation.kinds.retrieval import RetrievalSet, recall_metrics
from simclip.runtime.timer import Timer
from simclip.runtime.workers import Workers
from simclip.train import loop
from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from simclip.train.planning import Planner
from tests.models.families import write_family
from tests.train.histories import without_clocks

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


@pytest.fixture(scope="module")
def several_epochs(pairs: Path, tiny_model: Path) -> TrainConfig:
    """Sets whose sizes two workers cannot share evenly: 40 and 13 images, 120 and 39 captions."""
    lines = (pairs / "val.tsv").read_text().splitlines()
    (pairs / "odd.tsv").write_text("\n".join([*lines, lines[-1]]) + "\n")
    images = pairs / "images"
    write_family("siglip_2", pairs / "siglip_2", lines)
    return TrainConfig(
        train_tsv=pairs / "train.tsv", train_image_dir=images, val_tsv=pairs / "odd.tsv", val_image_dir=images,
        model=str(tiny_model), batch_size=8, val_batch_size=5, epochs=2, cluster_size=4, proportion=0.5,
        neighborhood=2, learning_rate=1e-3, threads=1,
        # Not its turn after the first epoch, which is the best so far: a decision that workers have to share.
        evaluate=[RetrievalSet(name="seldom", tsv=pairs / "val.tsv", image_dir=images, every=2)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(several_epochs: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process finds, with a cache of its own, which the second worker is then given."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMCLIP_CACHE", str(folder / "cache"))
        return {"folder": folder, **facts(several_epochs, folder)}


@pytest.fixture(scope="module")
def together(
    several_epochs: TrainConfig, alone: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What two processes find, on nodes with a disk each: only the second has the offline embeddings in its cache."""
    folder = tmp_path_factory.mktemp("together")
    return in_two_processes(facts, several_epochs, folder, [folder / "empty", alone["folder"] / "cache"])


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


@pytest.mark.slow
def test_no_worker_gives_up_while_another_makes_its_store(several_epochs: TrainConfig, tmp_path: Path) -> None:
    names = in_two_processes(one_that_is_late, several_epochs, tmp_path, [tmp_path / "1", tmp_path / "2"])
    assert names[0] == names[1] and "loss" in names[0]


def test_workers_agree_word_for_word(together: list[dict[str, Any]]) -> None:
    first, second = together
    for kind in ("run", "offline"):
        assert np.array_equal(first[kind]["plans"], second[kind]["plans"])
        assert without_clocks(first[kind]["history"]) == without_clocks(second[kind]["history"])
        for name, tensor in first[kind]["weights"].items():
            assert torch.equal(tensor, second[kind]["weights"][name])


def test_the_first_worker_saves(together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    assert alone["run"]["reports"] == together[0]["run"]["reports"] == [(1, False), (2, True), (3, True)]
    assert together[1]["run"]["reports"] == [(1, False), (2, False), (3, False)]


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        (kind, kind.removesuffix("_in_parts"))
        for kind in ("gradients", "lora", "lora_in_parts", "sigmoid", "sigmoid_in_parts")
    ]
    + [("in_parts", "gradients")],
)
def test_gradients_equal_those_of_one_worker(
    kind: str, reference: str, together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    expected = alone[reference]
    largest = max(gradient.abs().max() for name, gradient in expected.items() if name != "loss")
    assert largest > 0.01
    for worker in together:
        found = worker[kind]
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert (found[name] - gradient).abs().max() <= 1e-6 * max(1, largest), name


def test_gradients_beside_a_frozen_tower_equal_those_of_one_worker(
    together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    expected = alone["frozen"]
    assert expected.keys() == {name for name in alone["gradients"] if not name.startswith("vis")}
    largest = max(gradient.abs().max() for name, gradient in expected.items() if name != "loss")
    for worker in together:
        assert worker["frozen"].keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.equal(expected[name], alone["gradients"][name]), name
            assert (worker["frozen"][name] - gradient).abs().max() <= 1e-5 * largest, name


@pytest.mark.parametrize("kind", ["run", "offline"])
def test_a_run_equals_that_of_one_worker(kind: str, together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    expected, found = alone[kind], together[0][kind]
    assert np.array_equal(found["plans"], expected["plans"])
    assert len(found["history"]) == len(expected["history"])
    for row, reference in zip(without_clocks(found["history"]), without_clocks(expected["history"]), strict=True):
        assert row == pytest.approx(reference, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_plans_alike_for_one_and_two_workers(
    name: str, together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for worker in together:
        assert np.array_equal(worker["methods"][name], alone["methods"][name])


def test_the_untouched_model_scores_the_same(together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    """Recalls exactly; the loss to the rounding of other batches."""
    row, reference = without_clocks(together[0]["run"]["history"])[0], without_clocks(alone["run"]["history"])[0]
    for name in ("val/loss", "seldom/loss"):
        assert row.pop(name) == pytest.approx(reference.pop(name), rel=1e-6)
    assert row == reference


def test_messages_between_workers(together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for worker in [alone, *together]:
        assert worker["streamed"] == [[0, 1], [2, 3], [4, 5]]
    assert [alone["broken"], together[0]["broken"]] == ["no more", "no more"]
    assert "the first worker failed" in together[1]["broken"]
    for worker in together:
        assert worker["gathered"].tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert worker["any"] == [False, True, True]
        assert worker["on_host"][0].tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert [len(worker["on_host"][1]) for worker in together] == [2, 0]
    assert alone["gathered"].tolist() == [[0.0, 0.0]]
    assert alone["any"] == [False, True, True]


def test_recall_is_shared_and_the_same_to_the_bit(together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    expected, found = alone["recall"], [worker["recall"] for worker in together]
    assert 0 < expected["metrics"]["t2i_r5"] < 1
    assert [each["metrics"] for each in found] == [expected["metrics"]] * WORKERS
    assert expected["ranked"] == 7 + 31 == sum(each["ranked"] for each in found)
    assert all(each["ranked"] > 12 for each in found)


def test_only_the_worker_that_plans_has_neighbours(together: list[dict[str, Any]]) -> None:
    assert [worker["offline"]["has_neighbours"] for worker in together] == [True, False]


def test_a_batch_that_workers_cannot_share() -> None:
    assert [Workers(rank, 4).share_of(12) for rank in (0, 3)] == [slice(0, 3), slice(9, 12)]
    with pytest.raises(InputError, match="batch_size 10 cannot be shared by 4 workers: use a multiple of"):
        Workers(0, 4).share_of(10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
