"""The device follows what is reserved; a card that cannot be used is one line. None of it needs a card."""

from __future__ import annotations

import os

import pytest
import torch

from simclip.errors import InputError
from simclip.runtime.device import (
    ALLOCATOR,
    CONTEXT_BYTES,
    Cards,
    Compute,
    check_card,
    configure_allocator,
    memory_share,
    reserved_device,
)

without_card = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
#: What PyTorch's builds for CUDA 12.8 name.
BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


def test_no_reserved_gpu_means_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # Ray hides no card from such a process
    assert reserved_device(0) == torch.device("cpu")
    assert reserved_device(0, torch.device("cuda", 3)) == torch.device("cpu")


@without_card
@pytest.mark.parametrize("gpus", [0.25, 1.0])
def test_a_reserved_gpu_that_torch_cannot_use_is_one_line(gpus: float) -> None:
    with pytest.raises(InputError, match=r"^a GPU is reserved on \S+, but PyTorch \S+ cannot use it \(.+\): .*gpus=0$"):
        reserved_device(gpus)


@without_card
def test_by_default_a_run_without_a_card_is_on_the_cpu() -> None:
    assert Compute.choose("auto") == Compute(torch.device("cpu"), torch.float32)
    assert Cards.seen() is None


def test_products_in_fp32_are_not_in_tf32() -> None:
    torch.set_float32_matmul_precision("high")  # as NVIDIA's containers set it, by TORCH_ALLOW_TF32_CUBLAS_OVERRIDE
    Compute.choose("fp32", torch.device("cpu"))
    assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((7, 0), BUILT, False),  # V100
        ((7, 5), BUILT, True),  # T4
        ((8, 0), BUILT, True),  # A100
        ((8, 9), BUILT, True),  # L4: machine code of 8.6
        ((9, 0), BUILT, True),
        ((12, 1), BUILT, True),
        ((13, 0), BUILT, True),  # from PTX
        ((13, 0), BUILT[:-1], False),
        ((10, 3), BUILT, True),
        ((8, 0), ["sm_86"], False),  # machine code of a later card
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),  # for that very version only
        ((9, 4), ["gfx90a", "gfx942"], True),  # ROCm
        ((7, 0), [], True),  # not known
    ],
)
def test_kernels_for_a_card(capability: tuple[int, int], built: list[str], runs: bool) -> None:
    if runs:
        check_card("a card", capability, built)
        return
    with pytest.raises(InputError) as error:
        check_card("Tesla X", capability, built)
    assert f"no kernels for its compute capability {capability[0]}.{capability[1]}" in str(error.value)
    assert str(error.value).startswith("Tesla X on ") and "\n" not in str(error.value)


@pytest.mark.parametrize("number", [2, 3, 4, 8])
@pytest.mark.parametrize("total", [15e9, 80e9])
def test_shares_of_a_card_leave_room_for_the_contexts(number: int, total: int) -> None:
    used = number * (memory_share(1 / number, total) * total + CONTEXT_BYTES)
    assert used == pytest.approx(total)


def test_a_share_without_room_for_tensors_is_refused() -> None:
    with pytest.raises(InputError, match=r"^resources.gpus: 0.03 of a card with 16.0 GB .* \(0.6 GB\): raise it$"):
        memory_share(0.03, 16_000_000_000)


def test_the_allocator_grows_segments_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = ALLOCATOR
    for name in ALLOCATOR:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    configure_allocator()
    assert os.environ[new] == "expandable_segments:True"
    monkeypatch.delenv(new)
    monkeypatch.setenv(old, "max_split_size_mb:128")
    configure_allocator()
    assert new not in os.environ
