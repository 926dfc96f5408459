"""The device that a run computes on, and its precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Compute:
    """A device and the number type of its matrix products.

    Attributes:
        device: CUDA if there is a card, else the CPU.
        dtype: torch.bfloat16 under autocast, torch.float32 without.
    """

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def choose(cls, precision: Literal["auto", "bf16", "fp32"], device: torch.device | None = None) -> Compute:
        """Choose the number type for a device.

        Args:
            precision: "auto" is bf16 on CUDA cards that support it, else fp32.
            device: By default CUDA if there is a card, else the CPU.
        """
        device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
        return cls(device, torch.bfloat16 if use_bf16 else torch.float32)

    def autocast(self) -> torch.autocast:
        """A context in which matrix products are computed in `dtype`."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return f"{name}, {'bf16 autocast' if self.dtype == torch.bfloat16 else 'fp32'}"
