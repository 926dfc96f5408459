"""Timer: wall-clock seconds of an epoch, by activity."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Timer:
    """Adds up wall-clock seconds by name, starting when it is created."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the seconds of a block to a name."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def waits(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, adding the seconds of waiting for each of them to a name."""
        iterator = iter(items)
        while True:
            with self(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self, *names: str) -> float:
        """Total seconds so far under the given names."""
        return sum(self._seconds[name] for name in names)

    def summary(self) -> dict[str, float]:
        """All seconds since the start, and the share of each name in them (`share/<name>`, 0 to 1)."""
        total = time.perf_counter() - self._begin
        return {"seconds": total, **{f"share/{name}": part / total for name, part in self._seconds.items()}}
