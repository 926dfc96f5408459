"""Where the seconds of an epoch go."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up wall-clock seconds by name, from its making on."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the seconds of a block under a name."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begin

    def waits(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """The items, the seconds of waiting for each counted under a name."""
        iterator = iter(items)
        while True:
            with self(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self, *names: str) -> float:
        """Seconds so far under some names together."""
        return sum(self._seconds[name] for name in names)

    def summary(self) -> dict[str, float]:
        """All seconds since the start, and the share of each name in them."""
        total = time.perf_counter() - self._begin
        return {"seconds": total, **{f"share/{name}": part / total for name, part in self._seconds.items()}}
