"""The real training step on a pretended card: devices, number types, copies, waits, kernels, bytes and memory."""

from __future__ import annotations

from typing import Any

import pytest

from simclip.models.families import FAMILIES
from tests.fake_cuda import library, run

#: ViT-B/32 with 1,024 pairs of 31 tokens, whole and in halves.
WHOLE, PARTS = "vit-b-32:1024:31", "vit-b-32:1024:31:512"
#: Every family in small. Parts run the same towers twice, with and without a mask of the padding.
SMALL = [*(f"{family}:8:9" for family in FAMILIES), "clip:8:9:4", "chinese_clip:8:9:4"]
GIGA = 10**9


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What all scripts measure, in one process, of which most of the time would be its imports."""
    card = library(tmp_path_factory.mktemp("card"))
    return run(card, f"step {' '.join([*SMALL, WHOLE, PARTS])}", "memory", "group")


@pytest.mark.parametrize("name", [*SMALL, WHOLE, PARTS])
def test_devices_and_number_types(measured: list[dict[str, Any]], name: str) -> None:
    step = measured[0][name]
    assert step["loss"] == ["cuda:0", "torch.float32"]
    assert step["gradients"] == ["cuda:0 torch.float32"]
    assert step["state"] == ["exp_avg torch.float32", "exp_avg_sq torch.float32", "step torch.float32"]


@pytest.mark.parametrize("name", [*SMALL, WHOLE, PARTS])
def test_the_host_never_waits(measured: list[dict[str, Any]], name: str) -> None:
    """Only pixels, boxes, ids and mask go to the card, and the host does not wait for that either."""
    step = measured[0][name]
    assert step["waits"] == []
    assert step["copies"] == 4 * [["_to_copy", True]]


def test_budget_of_the_step(measured: list[dict[str, Any]]) -> None:
    """docs/gpu.md has what they were and are."""
    whole, parts = measured[0][WHOLE], measured[0][PARTS]
    assert whole["kernels"] <= 1170
    assert whole["bytes"] <= 104 * GIGA
    assert whole["peak"] <= 24 * GIGA
    assert parts["kernels"] <= 3600
    assert parts["bytes"] <= 145 * GIGA
    assert parts["peak"] <= 13 * GIGA


def test_memory_of_loss_evaluation_and_refresh(measured: list[dict[str, Any]]) -> None:
    """Refresh and evaluation embed such blocks; the loss keeps a few matrices of its rows by all columns in fp32."""
    peaks = measured[1]
    assert peaks["loss"] <= 4.5 * 8192**2 * 4
    assert peaks["loss_of_8"] <= peaks["loss"] / 6
    assert peaks["images"] <= 0.6 * GIGA
    assert peaks["captions"] <= 0.5 * GIGA
    assert peaks["recall"] <= 0.3 * GIGA
    assert peaks["neighbours"] <= 1.6 * GIGA
    assert peaks["waits"] == []


def test_collectives_of_one_worker_of_eight(measured: list[dict[str, Any]]) -> None:
    group = measured[2]
    names = [name for name, *_ in group["collectives"]]
    assert names[:2] == ["all_gather", "all_gather"]
    assert {"all_gather", "all_reduce"} <= set(names)
    assert all(devices == ["cuda:0"] for _, devices, _ in group["collectives"])
    assert group["waits"] == []
    assert group["told"] == {"broadcast_buffers": False, "gradient_as_bucket_view": True}
