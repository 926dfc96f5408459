"""Progress as plain lines, where there is no terminal: in a pipe, a job's log or CI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

from simclip.cli.terminal.progress_state import ProgressState
from simclip.cli.terminal.safe_console import safe
from simclip.cli.wording.formatting import Metric, counted, duration
from simclip.cli.wording.verdict import before_confirming
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.history import Row

#: Seconds between two looks at a log file.
POLL_SECONDS = 0.3


class PlainLines(Listener):
    """One line per start, epoch and end of a trial, flushed at once, without colours or cursor movements.

    Args:
        study: The study.
        logs: Folder of the trials' log files.
        file: Where the lines are written.
        ended: Records of trials that ended in earlier runs.
        clock: Returns seconds since an arbitrary moment.
    """

    def __init__(
        self,
        study: StudyConfig,
        logs: Path,
        file: IO[str],
        ended: Mapping[str, Record] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.logs, self.file = study, logs, file
        self.metric = Metric.of(study.metric)
        self.progress = ProgressState(study, ended, clock)

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Print the number of trials."""
        earlier = f", {self.progress.ended} ended earlier" if self.progress.ended else ""
        self.progress.plan(trials, concurrency)
        planned = max(len(trials), self.progress.search_to_come)
        self._print(f"{self.study.name}: {counted(planned, 'trial')}, at most {concurrency} at a time{earlier}")

    def confirm_started(self, trials: Sequence[Trial], results: StudyResults) -> None:
        """Print the difference that the confirm stage can detect."""
        self.progress.plan(trials, self.progress.concurrency)
        self._print(f"{self.study.name}: {before_confirming(results)}")

    def trial_started(self, trial: Trial) -> None:
        """Print that the trial has started."""
        self.progress.start(trial)
        self._print_trial(trial, "started", counted(trial.arm.config.epochs, "epoch"))

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """Print the objective, its best value so far and the time left."""
        self.progress.record_epoch(trial, row)
        this = self.progress.trials[trial.name]
        metric = f"{self.metric.name} {self.metric.formatted(this.latest)}"
        if row["epoch"] == 0:
            self._print_trial(trial, "base model", metric)
        else:
            left = self.progress.left(this)
            best = f"(best {self.metric.formatted(this.best)})" if this.best is not None else ""
            self._print_trial(
                trial, f"epoch {this.epoch}/{this.epochs}", metric, best, f"{duration(left)} left" if left else ""
            )

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Print how the trial ended; for a failed one the log file. The errors are listed at the end of the study."""
        self.progress.end(trial, record)
        if record.outcome == "failed":
            self._print_trial(trial, "failed", f"log: {self.logs / f'{trial.name}.log'}")
            return
        best = f"best {self.metric.formatted(record.score)} at epoch {record.best['epoch']}" if record.best else ""
        left = self.progress.study_left()
        study = f"{self.study.name}: {duration(left)} left" if left else ""
        self._print_trial(trial, str(record.outcome), best, f"took {duration(record.seconds)}", study)

    def study_ended(self) -> None:
        """Print how many trials ended in which way."""
        self.progress.close()
        states = [each.state for each in self.progress.trials.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        self._print(f"{self.study.name}: {counts or 'no trials'}, after {duration(self.progress.elapsed)}")

    def _print_trial(self, trial: Trial, *parts: str) -> None:
        of = f"/{self.progress.total}"
        self._print("  ".join([f"[{self.progress.ended}{of}] {trial.name}", *filter(None, parts)]))

    def _print(self, line: str) -> None:
        print(safe(line), file=self.file, flush=True)


class LogTail(Listener):
    """Copies a trial's log file to a stream while the study runs.

    Args:
        path: The log file; what it holds already is skipped.
        out: Where the lines are written.
    """

    def __init__(self, path: Path, out: TextIO) -> None:
        self.path, self.out = path, out
        self._position = path.stat().st_size if path.exists() else 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Start to follow the file."""
        self._thread.start()

    def study_ended(self) -> None:
        """Copy the rest of the file."""
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
            self.out.write(safe(log.read()))
            self._position = log.tell()
        self.out.flush()
