"""A pretended CUDA card: real code runs on fake tensors, which have devices, shapes and number types but no data.

It shows devices, number types, copies, host synchronisation, kernels, bytes and memory; not missing kernels, results
or times. `run` starts scripts of this folder in a process of their own; from a shell:

    python -m tests.fake_cuda step vit-b-32:1024:31
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
#: Seconds that the compiler and a script may take on a busy machine.
PATIENCE = 500


@cache
def library(folder: Path) -> Path:
    """Compile the card; skips the test where that is not possible."""
    root = Path(str(importlib.util.find_spec("torch").origin)).parent  # type: ignore[union-attr]
    built = folder / "libcard.so"
    if shutil.which("g++") is None or not (root / "include" / "ATen").is_dir():
        pytest.skip("no g++ or no headers of torch: the pretended card cannot be compiled")
    if (root / "lib" / "libtorch_cuda.so").exists():
        pytest.skip("the pretended card needs a CPU build of torch")
    if built.exists():
        return built
    command = ["g++", "-std=c++20", "-O0", "-shared", "-fPIC", f"-I{root}/include", str(HERE / "card.cpp"), "-o"]
    linked = [str(built), f"-L{root}/lib", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{root}/lib"]
    done = subprocess.run([*command, *linked], capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        pytest.skip(f"the pretended card does not compile against this torch: {done.stderr.splitlines()[0]}")
    return built


def run(card: Path, *scripts: str) -> list[Any]:
    """Run modules of this folder on the card, each with its arguments, one after the other in a process.

    Returns:
        The JSON that each of them prints.
    """
    environment = {**os.environ, "FAKE_CUDA": str(card), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fake_cuda.load", *" -- ".join(scripts).split()]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment, cwd=HERE.parents[1]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
