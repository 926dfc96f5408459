"""Background: one job at a time in a thread, while the caller goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Background:
    """Runs jobs in a thread, one after the other; a job starts when the one before has ended.

    As a context manager it waits at the end of its block. An error of a job is raised in the caller's thread, once: by
    `check`, by the next `wait` or at the end of the block. If the block itself fails, its own error is raised.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "background")
        self._running: Future[Any] | None = None

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            self.wait()

    def start(self, job: Callable[[], Any]) -> None:
        """Wait for the job before, then start another one.

        Raises:
            BaseException: The error of the job before.
        """
        self.wait()
        self._running = self._pool.submit(job)

    def check(self) -> None:
        """Raise the error of a job that has failed; does not wait."""
        if self._running is not None and self._running.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the running job.

        Raises:
            BaseException: Its error.
        """
        running, self._running = self._running, None
        try:
            if running is not None:
                running.result()
        finally:
            del running  # break the reference cycle through the error's traceback
