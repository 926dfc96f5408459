"""Prefetch: run an iterator ahead in a thread."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

#: How long closing waits for the current item, in seconds; the item may itself wait for another machine that failed.
PATIENCE = 10.0


def prefetch(items: Iterator[T], ahead: int = 2) -> Generator[T, None, None]:
    """Yield the same items in the same order, produced in a thread while the consumer works on earlier ones.

    The thread starts with the first item and ends with the generator: exhausted, failed or closed. Use
    `contextlib.closing` where the consumer may fail. The current item is finished first; `items` is closed in its
    thread.

    Args:
        items: The iterator to run ahead, entirely in the thread. Per-thread settings of torch, such as no_grad, must be
            made inside it.
        ahead: Maximum number of items that are ready or in progress before they are asked for.

    Raises:
        Exception: Any exception of `items`, raised in place of its next item.
    """
    made: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    free, stopped = threading.Semaphore(ahead), threading.Event()
    end = StopIteration()

    def run() -> None:
        failure: BaseException = end
        try:
            while free.acquire() and not stopped.is_set():
                made.put((next(items), None))
        except BaseException as error:
            failure = end if isinstance(error, StopIteration) else error
        finally:
            if isinstance(items, Generator):
                items.close()
            made.put((None, failure))

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, failure = made.get()
            if failure is end:
                return
            if failure is not None:
                try:
                    raise failure
                finally:
                    del failure  # break the reference cycle through its traceback
            free.release()
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        free.release()
        thread.join(PATIENCE)
