"""torchvision beside a CPU build of torch: the registry's torchvision is built for CUDA and lacks two operators there.

Nothing that is tested here calls them, but torchvision describes them to torch when it is imported, so that they must
have been declared by then: importing this module declares them. `python -m tests.torchvision_operators eval ...` is
clip_benchmark's own command line.
"""

from __future__ import annotations

import importlib.util
import sys

import torch


def declared() -> torch.library.Library | None:
    """What was missing, if anything was; the declarations go with this object."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        return library
    return None


DECLARED = declared()

if __name__ == "__main__":
    from clip_benchmark.cli import main

    sys.exit(main())
