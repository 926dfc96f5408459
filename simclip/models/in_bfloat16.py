"""Both towers in bf16, with their trained weights in fp32: what lies between the layers is bf16 too.

Autocast keeps the residual stream in fp32 and casts each weight, and each weight's gradient, in a kernel of its own.
Here a layer's weights are cast together, and so are their gradients, as soon as the backward pass has left the layer:
DistributedDataParallel still sends them meanwhile.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.func import functional_call

#: Trained in fp32 throughout: the loss is computed in fp32.
KEPT = ("logit_scale", "logit_bias")


class InBfloat16(nn.Module):
    """Runs towers on bf16 copies of their fp32 weights, which get fp32 gradients."""

    def __init__(self, towers: nn.Module) -> None:
        super().__init__()
        self.towers = towers
        self._layers: dict[str, list[str]] = {}
        for name, _ in towers.named_parameters():
            if not name.endswith(KEPT):
                self._layers.setdefault(_layer(name), []).append(name)

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the towers return for the same inputs."""
        weights = dict(self.towers.named_parameters())
        copies: dict[str, torch.Tensor] = {}
        for names in self._layers.values():
            copies |= zip(names, _Cast.apply(*(weights[name] for name in names)), strict=True)
        with torch.autocast(inputs[0].device.type, enabled=False):
            return functional_call(self.towers, copies, inputs)


def _layer(name: str) -> str:
    """The part of a weight's name that says its layer; weights outside of layers go with their part of the tower."""
    parts = name.split(".")
    number = next((at + 1 for at, part in enumerate(parts) if part.isdigit()), 3)
    return ".".join(parts[:number])


class _Cast(torch.autograd.Function):
    """Casts weights to bf16 in one kernel, and gradients back."""

    @staticmethod
    def forward(ctx: Any, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        return _copies(weights, torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        cast = iter(_copies(tuple(each for each in gradients if each is not None), torch.float32))
        return tuple(None if each is None else next(cast) for each in gradients)


def _copies(tensors: tuple[torch.Tensor, ...], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    made = tuple(torch.empty_like(each, dtype=dtype) for each in tensors)
    if made:
        torch._foreach_copy_(made, tensors)
    return made
