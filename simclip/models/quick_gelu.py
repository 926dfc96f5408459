"""The MLP of CLIP with its activation in one kernel each way, without a compiler.

QuickGELU, x sigmoid(1.702 x), takes three kernels forward and five backward. It is silu(1.702 x) / 1.702, and PyTorch
has SiLU in one kernel; matrix products take the factors at no cost. In the gradient of x they cancel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import QuickGELUActivation

#: The factor of QuickGELU.
SLOPE = 1.702


class QuickGeluMlp(nn.Module):
    """Two linear layers with QuickGELU between them; replaces the MLP of transformers, with the same weights."""

    def __init__(self, fc1: Any, fc2: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map states [..., d] to [..., d]."""
        tensors = [states, self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias]
        kind = states.device.type
        if torch.is_autocast_enabled(kind):
            tensors = [each.to(torch.get_autocast_dtype(kind)) for each in tensors]
        with torch.autocast(kind, enabled=False):
            return _Mlp.apply(tensors[0].flatten(0, -2), *tensors[1:]).view(*states.shape[:-1], -1)


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight1: torch.Tensor, bias1: torch.Tensor,
        weight2: torch.Tensor, bias2: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        hidden = torch.addmm(bias1 * SLOPE, states, weight1.T, alpha=SLOPE)
        active = F.silu(hidden)
        ctx.save_for_backward(states, weight1, hidden, active, weight2)
        return torch.addmm(bias2, active, weight2.T, alpha=1 / SLOPE)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        states, weight1, hidden, active, weight2 = ctx.saved_tensors
        inner = torch.ops.aten.silu_backward(gradient @ weight2, hidden)
        return (
            inner @ weight1,
            inner.T @ states,
            inner.sum(0),
            torch.addmm(weight2, gradient.T, active, beta=0, alpha=1 / SLOPE),
            gradient.sum(0),
        )


def fuse_quick_gelu(model: nn.Module) -> None:
    """Replace every MLP of a model that has QuickGELU and plain layers; names and values of its weights stay."""
    for part in model.modules():
        for name, mlp in part.named_children():
            # Layers with adapters are not plain: their weight alone would leave the adapters out.
            plain = all(type(getattr(mlp, each, None)) is nn.Linear for each in ("fc1", "fc2"))
            if plain and isinstance(getattr(mlp, "activation_fn", None), QuickGELUActivation):
                setattr(part, name, QuickGeluMlp(mlp.fc1, mlp.fc2))
