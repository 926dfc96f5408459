"""Seconds and bytes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def interleaved(repeats: int, *functions: Callable[[], Any]) -> list[float]:
    """The least seconds of each function, called in turn (ours, reference, ours, ...)."""
    seconds = [[elapsed(function) for function in functions] for _ in range(repeats)]
    return [min(column) for column in zip(*seconds, strict=True)]


def elapsed(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def own_peak() -> int:
    """Bytes: the largest resident set of this process so far."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux's getrusage counts the parent's memory too, up to the moment when this program was loaded.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def printed_by(module: str, *words: str, **environment: str) -> Any:
    """What a module of this package prints as its last line, in JSON, run in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment})
    return json.loads(done.stdout.splitlines()[-1])
