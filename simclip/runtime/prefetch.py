"""An iterator that runs ahead in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

#: Seconds that closing waits for an item that is being made: it may itself wait, for another machine that has failed.
PATIENCE = 10.0


def prefetch(items: Iterator[T], ahead: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made in a thread while the consumer works on earlier ones.

    The thread starts when the first item is asked for and has ended when the generator has: used up, failed or closed,
    which also happens when nobody refers to it any more (`contextlib.closing` makes sure, where the consumer may fail).
    An item that is being made at that time is finished; `items` is closed in its thread.

    Args:
        items: What is to be run ahead, wholly in the thread: settings of torch that belong to a thread, such as
            no_grad, have to be made inside.
        ahead: Items that are ready or being made before they are asked for, at most.

    Raises:
        Exception: What `items` raises, where its next item would have stood.
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
                    del failure  # whose traceback leads back here: what it holds is let go of with it, at once
            free.release()
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        free.release()
        thread.join(PATIENCE)
