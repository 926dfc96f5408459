"""The device that a run computes on, and its precision."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from simclip.errors import InputError

#: Memory on a card that a process takes besides its tensors, for CUDA's context and kernels, in bytes.
CONTEXT_BYTES = 600_000_000
#: Where PyTorch reads how its allocators work; the second is the older name.
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@dataclass(frozen=True)
class Compute:
    """A device and the number type of its matrix products.

    Attributes:
        device: CUDA if there is a card, else the CPU.
        dtype: torch.bfloat16 or torch.float16 under autocast, torch.float32 without.
    """

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def choose(cls, precision: Literal["auto", "bf16", "fp16", "fp32"], device: torch.device | None = None) -> Compute:
        """Choose the number type for a device; products in fp32 are exact to fp32 from then on.

        NVIDIA's containers allow TF32 for them, whose error of 1e-3 would mix up neighbours without a word.

        Args:
            precision: "auto" is bf16 on CUDA cards that support it, else fp32. fp16 is never chosen: it needs a scaled
                loss, and its numbers overflow.
            device: By default CUDA if there is a card, else the CPU.

        Raises:
            InputError: By default, where PyTorch cannot use the card that is there; or fp16 on a CPU.
        """
        torch.set_float32_matmul_precision("highest")
        device = device or reserved_device(float(torch.cuda.is_available()))
        if precision == "fp16":
            if device.type != "cuda":
                raise InputError("precision fp16 needs a CUDA card: set train.precision=auto, which is fp32 on a CPU")
            return cls(device, torch.float16)
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
        return cls(device, torch.bfloat16 if use_bf16 else torch.float32)

    def autocast(self) -> torch.autocast:
        """A context in which matrix products are computed in `dtype`."""
        return torch.autocast(
            self.device.type,
            dtype=torch.float16 if self.dtype == torch.float16 else torch.bfloat16,
            enabled=self.dtype != torch.float32,
        )

    def __str__(self) -> str:
        names = {torch.bfloat16: "bf16 autocast", torch.float16: "fp16 autocast", torch.float32: "fp32"}
        return f"{device_name(self.device)}, {names[self.dtype]}"


def device_name(device: torch.device) -> str:
    """The card's name, or CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def reserved_device(gpus: float, card: torch.device | None = None) -> torch.device:
    """The device of a process: the CPU if no GPU is reserved for it, else its card, ready for use.

    The number of reserved GPUs decides, not what the process sees: Ray hides no card from a process without any. With a
    share of a card, the process keeps to its share of the memory.

    Args:
        gpus: Reserved GPUs, at most 1.
        card: The reserved card; by default the only one that the process sees.

    Raises:
        InputError: PyTorch cannot use a card here.
    """
    if not gpus:
        return torch.device("cpu")
    configure_allocator()
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"a GPU is reserved on {socket.gethostname()}, but PyTorch {torch.__version__} cannot use it ({said}): "
            "install the driver and a PyTorch for CUDA there, or train on CPUs with resources.gpus=0"
        ) from None
    card = card or torch.device("cuda")
    check_card(torch.cuda.get_device_name(card), torch.cuda.get_device_capability(card), torch.cuda.get_arch_list())
    if gpus < 1:
        share = memory_share(gpus, torch.cuda.get_device_properties(card).total_memory)
        torch.cuda.set_per_process_memory_fraction(share, card)
    return card


def configure_allocator() -> None:
    """Let PyTorch's CUDA allocator grow its segments, since batches differ in length; to be called before it is used.

    With segments of fixed sizes, memory is lost to gaps that no later batch fits. A setting of the environment stays.
    """
    if not any(name in os.environ for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = "expandable_segments:True"


def check_card(name: str, capability: tuple[int, int], built_for: Sequence[str]) -> None:
    """Refuse a card for which this PyTorch has no kernels.

    Machine code (sm_80) runs on later cards of the same major version; PTX (compute_90) on all later cards; sm_90a and
    the like on the very version only. Other names than CUDA's, such as ROCm's gfx942, are not examined.

    Args:
        name: Name of the card.
        capability: Its major and minor compute capability.
        built_for: The architectures that PyTorch was built for, as `torch.cuda.get_arch_list` names them.

    Raises:
        InputError: None of them suits.
    """
    found = [re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", each) for each in built_for]
    built = [(each[1], (int(each[2]), int(each[3])), each[4]) for each in found if each]
    if len(built) < len(built_for) or not built:
        return
    for kind, version, exact in built:
        later = version == capability if exact else version <= capability
        if later and (kind == "compute" or version[0] == capability[0]):
            return
    raise InputError(
        f"{name} on {socket.gethostname()}: PyTorch {torch.__version__} has no kernels for its compute capability "
        f"{capability[0]}.{capability[1]} (only for {', '.join(built_for)}): install a PyTorch that has, or train on "
        "CPUs with resources.gpus=0"
    )


def memory_share(gpus: float, total: int) -> float:
    """The share of a card's memory that a process may use for tensors, so that all contexts have room beside them.

    Args:
        gpus: Reserved share of the card, in (0, 1).
        total: Memory of the card, in bytes.

    Raises:
        InputError: The share has only room for the context.
    """
    share = gpus - CONTEXT_BYTES / total
    if share <= 0:
        raise InputError(
            f"resources.gpus: {gpus:g} of a card with {total / 1e9:.1f} GB is no more than CUDA itself takes for a "
            f"process ({CONTEXT_BYTES / 1e9:g} GB): raise it"
        )
    return share


@dataclass(frozen=True)
class Cards:
    """The CUDA cards of a machine.

    Attributes:
        names: Their different names, sorted.
        bf16: Whether all of them multiply in bf16 themselves, and do not emulate it.
    """

    names: tuple[str, ...]
    bf16: bool

    @classmethod
    def seen(cls) -> Cards | None:
        """The cards that this process sees; None without any that PyTorch can use."""
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        # as torch.cuda.is_bf16_supported decides for the current card
        bf16 = bool(torch.version.hip) or all(card.major >= 8 for card in found)
        return cls(tuple(sorted({card.name for card in found})), bf16) if found else None
