"""The real training step on a pretended card: devices, number types, copies, waits, kernels, bytes and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simclip.models.families import FAMILIES
from tests.fake_cuda import library, run

#: ViT-B/32 with 1,024 pairs of 31 tokens, whole and in parts, and what one card out of eight computes.
WHOLE, PARTS, SHARE = "vit-b-32:1024:31", "vit-b-32:1024:31:128", "vit-b-32:128:31"
SMALL = [f"{family}:8:9{micro}" for family in FAMILIES for micro in ("", ":4")]
GIGA = 10**9


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def steps(card: Path) -> dict[str, Any]:
    return run("step", card, *SMALL, WHOLE, PARTS, SHARE)


@pytest.mark.parametrize("name", [*SMALL, WHOLE, PARTS])
def test_devices_and_number_types(steps: dict[str, Any], name: str) -> None:
    step = steps[name]
    assert step["loss"] == ["cuda:0", "torch.float32"]
    assert step["gradients"] == ["cuda:0 torch.float32"]
    assert step["state"] == ["exp_avg torch.float32", "exp_avg_sq torch.float32", "step torch.float32"]


@pytest.mark.parametrize("name", [*SMALL, WHOLE, PARTS])
def test_the_host_never_waits(steps: dict[str, Any], name: str) -> None:
    """Only pixels, boxes, ids and mask go to the card, and the host does not wait for that either."""
    step = steps[name]
    assert step["waits"] == []
    assert step["copies"] == 4 * [["_to_copy", True]]


def test_budget_of_the_step(steps: dict[str, Any]) -> None:
    """docs/gpu.md has what they were and are."""
    assert steps[WHOLE]["kernels"] <= 1250
    assert steps[WHOLE]["bytes"] <= 110 * GIGA
    assert steps[WHOLE]["peak"] <= 25 * GIGA
    assert steps[PARTS]["kernels"] <= 15_500
    assert steps[PARTS]["bytes"] <= 185 * GIGA
    assert steps[PARTS]["peak"] <= 5.3 * GIGA
    assert steps[SHARE]["kernels"] <= 1170
    assert steps[SHARE]["bytes"] <= 18 * GIGA


def test_memory_of_loss_evaluation_and_refresh(card: Path) -> None:
    """Refresh and evaluation embed such blocks; the loss keeps a few matrices of its rows by all columns in fp32."""
    peaks = run("memory", card)
    assert peaks["loss"] <= 4.5 * 8192**2 * 4
    assert peaks["loss_of_8"] <= peaks["loss"] / 6
    assert peaks["images"] <= 0.6 * GIGA
    assert peaks["captions"] <= 0.5 * GIGA
    assert peaks["waits"] == []


def test_collectives_of_one_worker_of_eight(card: Path) -> None:
    group = run("group", card)
    names = [name for name, *_ in group["collectives"]]
    assert names[:2] == ["all_gather", "all_gather"]
    assert {"all_gather", "all_reduce"} <= set(names)
    assert all(devices == ["cuda:0"] for _, devices, _ in group["collectives"])
    assert group["waits"] == []
    assert group["told"] == {"broadcast_buffers": False, "gradient_as_bucket_view": True}
