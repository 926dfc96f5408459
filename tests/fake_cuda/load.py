"""Run other modules of this folder on the pretended card, which is loaded before torch.

Several modules, each with its arguments, are separated by `--`.
"""

# ruff: noqa: E402
from __future__ import annotations

import ctypes
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import Any

assert "torch" not in sys.modules, "the card has to be there before torch"
root = Path(str(importlib.util.find_spec("torch").origin)).parent / "lib"  # type: ignore[union-attr]
for library in (root / "libc10.so", root / "libtorch_cpu.so", os.environ["FAKE_CUDA"]):
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)

import torch
import torch.nn.functional as F
from transformers.utils import import_utils

import tests.torchvision_operators  # noqa: F401  before transformers is imported

# Else transformers would not read fake masks on the host, as it does real ones.
import_utils.is_fake_tensor = lambda tensor: False
cuda: Any = torch.cuda
cuda.is_available = lambda: True
cuda.is_bf16_supported = lambda including_emulation=True: True
cuda.get_device_name = lambda device=None: "NVIDIA H100 80GB HBM3"
cuda.current_device = lambda: 0
cuda._lazy_init = lambda: None
cuda.get_rng_state = torch.get_rng_state  # the states themselves are on the host on a real card too
cuda.set_rng_state = torch.set_rng_state
torch._C._set_only_lift_cpu_tensors(True)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Attention as CUDA chooses it: flash without a mask, else memory-efficient, whose masks are aligned to 8."""
    ops = torch.ops.aten
    if attn_mask is None:
        return ops._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    bias = attn_mask
    if bias.dtype == torch.bool:
        bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill_(bias.logical_not(), float("-inf"))
    length = bias.shape[-1]
    if length % 8:
        bias = F.pad(bias, (0, -length % 8))[..., :length]
    bias = bias.expand(*query.shape[:3], key.shape[2])
    keeps = torch.is_grad_enabled()
    efficient = ops._scaled_dot_product_efficient_attention
    return efficient(query, key, value, bias, keeps, dropout_p, is_causal, scale=scale)[0]


F.scaled_dot_product_attention = attention


def no_kernel(*arguments: object) -> None:
    raise NotImplementedError("the pretended card has no kernels")


# CUDA has kernels of its own for these; without one, torch would take them apart into several others.
own_kernels = torch.library.Library("aten", "IMPL")
own_kernels.impl("silu_backward", no_kernel, "CUDA")

if __name__ == "__main__":
    for script in " ".join(sys.argv[1:]).split(" -- "):
        name, *sys.argv[1:] = script.split()
        runpy.run_module(f"tests.fake_cuda.{name}", run_name="__main__", alter_sys=True)
