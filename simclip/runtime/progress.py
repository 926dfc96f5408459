"""Progress of long work: a bar on a terminal, occasional log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

log = logging.getLogger("simclip")

#: Seconds between log lines.
LOG_SECONDS = 10.0


def with_progress(steps: Iterable[T], what: str, total: int, done: int, step: int) -> Iterator[T]:
    """Yield the steps, and show progress on stderr or log it.

    Args:
        steps: The steps of the work.
        what: Description, e.g. "decoding images".
        total: Total number of items.
        done: Number of items done before the first step.
        step: Number of items per step; the last step may be smaller.
    """
    return (_bar if sys.stderr.isatty() else _lines)(steps, what, total, done, step)


def _bar(steps: Iterable[T], what: str, total: int, done: int, step: int) -> Iterator[T]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)
        for number, each in enumerate(steps, start=1):
            yield each
            progress.update(task, completed=min(done + number * step, total))


def _lines(steps: Iterable[T], what: str, total: int, done: int, step: int) -> Iterator[T]:
    begin = due = time.monotonic()
    for number, each in enumerate(steps, start=1):
        yield each
        now = time.monotonic()
        if now >= due + LOG_SECONDS:
            rate = number * step / (now - begin)
            count = min(done + number * step, total)
            left = (total - count) / rate
            log.info("%s: %d of %d (%.0f%%), %.0f/s, %.0f s left", what, count, total, 100 * count / total, rate, left)
            due = now
