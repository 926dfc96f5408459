"""The training's own log lines, shown while it runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial

POLL_SECONDS = 0.3


class LogTail(Listener):
    """Copies what is written to a trial's log file, from the study's start to its end."""

    def __init__(self, path: Path, out: TextIO) -> None:
        self.path, self.out = path, out
        self._position = path.stat().st_size if path.exists() else 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Begin to follow."""
        self._thread.start()

    def study_ended(self) -> None:
        """Copy the rest."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._copy()

    def _follow(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._copy()

    def _copy(self) -> None:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as log:
            log.seek(self._position)
            self.out.write(log.read())
            self._position = log.tell()
        self.out.flush()
