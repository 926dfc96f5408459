"""Count what a block does on the card: kernels, bytes, copies from the host, host synchronisation, memory."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

#: Operators whose result the host waits for.
WAITS = ("nonzero", "equal", "masked_select", "unique")
#: Operators that launch nothing, apart from views.
FREE = ("detach", "device", "empty", "empty_like", "empty_strided", "lift_fresh", "_unsafe_view", "t", "transpose")
#: Operators of matrix products, whose traffic is not counted.
PRODUCTS = ("mm", "addmm", "bmm", "convolution", "convolution_backward")


def tensors(*trees: Any) -> list[torch.Tensor]:
    """Distinct tensors in nested arguments."""
    return list({id(leaf): leaf for leaf in tree_flatten(trees)[0] if isinstance(leaf, torch.Tensor)}.values())


def size(found: list[torch.Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in found)


class Count(TorchDispatchMode):
    """Counts operators on the card. Operators on lists count once, though long lists are a few launches.

    Attributes:
        kernels: Number of launches, by operator.
        traffic: Bytes read and written, by operator.
        copies: Copies between host and card: operator and whether it is asynchronous.
        waits: Operators that the host waits for.
        peak: Largest number of bytes that were allocated inside the block and alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.traffic: Counter[str] = Counter()
        self.copies: list[tuple[str, bool]] = []
        self.waits: list[str] = []
        self.live = self.peak = 0
        self._storages: set[int] = set()

    @property
    def bytes_outside_products(self) -> int:
        return sum(count for name, count in self.traffic.items() if name not in PRODUCTS)

    def summary(self) -> dict[str, Any]:
        return {
            "kernels": self.kernels.total(),
            "bytes": self.bytes_outside_products,
            "copies": self.copies,
            "waits": self.waits,
            "peak": self.peak,
        }

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if operator in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.waits.append(operator._schema.name.split("::")[1])
            return 0
        result = operator(*args, **kwargs)
        name = operator._schema.name.split("::")[1]
        read, written = tensors(args, kwargs), tensors(result)
        self._follow(written)
        if name in WAITS:
            self.waits.append(name)
        is_view = any(each.alias_info and not each.alias_info.is_write for each in operator._schema.arguments)
        if is_view or name in FREE:
            return result
        changed = [each for each in read if any(each is other for other in written)]
        if name.startswith("_foreach") and name.endswith("_"):
            changed = tensors(args[0])
        devices = {each.device.type for each in [*read, *written]}
        if name in ("_to_copy", "copy_") and len(devices) > 1:
            self.copies.append((name, bool(kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,)))))
        if "cuda" in devices:
            new = [each for each in written if not any(each is other for other in read)]
            self.kernels[name] += 1
            self.traffic[name] += size(read) + size(new) + (0 if name == "_foreach_copy_" else size(changed))
        return result

    def _follow(self, made: list[torch.Tensor]) -> None:
        for each in made:
            if each.device.type == "cuda" and (key := (storage := each.untyped_storage())._cdata) not in self._storages:
                self._storages.add(key)
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, count: int) -> None:
        self._storages.discard(key)
        self.live -= count
