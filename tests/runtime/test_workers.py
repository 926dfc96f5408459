"""Two gloo processes do what one process does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simclip.clusters.methods import NAMES
from simclip.errors import InputError
from simclip.evaluation.kinds.retrieval import RetrievalSet
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from tests.models.families import write_family
from tests.runtime.worker_program import WORKERS, facts, in_two_processes, one_that_is_late
from tests.train.histories import without_clocks


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
