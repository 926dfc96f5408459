"""CPU seconds and memory of a running command, read from outside while it runs (Linux)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
POLL = 0.5  # seconds


@dataclass(frozen=True)
class Sample:
    """What a command had used at one moment.

    Attributes:
        time: Seconds since 1970.
        driver: CPU seconds of the process itself.
        tree: CPU seconds of it and of all processes that it has started, directly or not.
        memory: Resident bytes of the process itself.
    """

    time: float
    driver: float
    tree: float
    memory: int


class Sampler:
    """Samples a process twice a second until it ends.

    Args:
        pid: Its id.
    """

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._pid, self._ended = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._ended.set()
        self._thread.join()

    def at(self, moment: float) -> Sample:
        """The sample that is nearest to a time in seconds since 1970."""
        return min(self.samples, key=lambda sample: abs(sample.time - moment))

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            with contextlib.suppress(OSError, KeyError):  # it has just ended
                self.samples.append(sample(self._pid))


def sample(pid: int) -> Sample:
    """What a process and its descendants have used so far."""
    processes = dict(_processes())
    inside = {pid}
    for _ in processes:  # from parents to children, however ids are ordered
        found = {child for child, (parent, _, _) in processes.items() if parent in inside}
        if found <= inside:
            break
        inside |= found
    tree = sum(processes[each][2] for each in inside)
    memory = int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    return Sample(time.time(), processes[pid][1], tree, memory)


def _processes() -> Iterator[tuple[int, tuple[int, float, float]]]:
    """Id, parent, own CPU seconds, and CPU seconds with those of ended children, of every process."""
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            user, system, childs_user, childs_system = (int(each) / TICKS for each in fields[11:15])
            own = user + system
            yield int(folder.name), (int(fields[1]), own, own + childs_user + childs_system)
