"""torchvision beside a CPU build of torch: the registry's torchvision is built for CUDA and lacks two operators there.

Nothing that is tested here calls them, but torchvision describes them to torch when it is imported, so that they must
have been declared by then. `python -m tests.torchvision_operators eval ...` is clip_benchmark's own command line.
"""

from __future__ import annotations

import importlib.util
import sys

import torch

_declared: list[torch.library.Library] = []  # what is declared goes with the object that declared it


def declare_operators() -> None:
    """Declare what is missing, where torchvision is there but does not load."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


if __name__ == "__main__":
    declare_operators()
    from clip_benchmark.cli import main

    sys.exit(main())
