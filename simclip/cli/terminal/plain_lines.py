"""Plain lines: what a study says where there is no terminal, in a pipe, a job's log or CI."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from simclip.cli.terminal.progress_state import Standing
from simclip.cli.wording.formatting import Metric, counted, duration, reason
from simclip.cli.wording.verdict import before_confirming
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.history import Row


class PlainLines(Listener):
    """One line per start, epoch and end of a trial, each written out at once, without colours or cursor movements.

    Args:
        study: The study.
        logs: Folder of the trials' log files.
        file: Where the lines go.
        ended: Records of trials that ended in earlier runs.
        clock: Seconds since any moment.
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
        self.standing = Standing(study, ended, clock)

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """How many trials there are."""
        earlier = f", {self.standing.ended} ended earlier" if self.standing.ended else ""
        self.standing.plan(trials, concurrency)
        planned = counted(len(trials), "trial") if self.standing.total is not None else "trials as the search goes"
        self._say(f"{self.study.name}: {planned}, at most {concurrency} at a time{earlier}")

    def confirm_started(self, trials: Sequence[Trial], records: Mapping[str, Record]) -> None:
        """What it can detect."""
        self.standing.plan(trials, self.standing.concurrency)
        self._say(f"{self.study.name}: {before_confirming(StudyResults(self.study, records))}")

    def trial_started(self, trial: Trial) -> None:
        """That it has started."""
        self.standing.start(trial)
        self._tell(trial, "started", counted(trial.arm.config.epochs, "epoch"))

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """The objective, the best so far and the time left."""
        self.standing.hear(trial, row)
        this = self.standing.trials[trial.name]
        metric = f"{self.metric.name} {self.metric.said(this.latest)}"
        if row["epoch"] == 0:
            self._tell(trial, "untouched model", metric)
        else:
            left = self.standing.left(this)
            best = f"(best {self.metric.said(this.best)})" if this.best is not None else ""
            self._tell(
                trial, f"epoch {this.epoch}/{this.epochs}", metric, best, f"{duration(left)} left" if left else ""
            )

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """How it ended; of a failed one, why and where to read on."""
        self.standing.end(trial, record)
        if record.outcome == "failed":
            self._tell(trial, f"failed: {reason(record)}", f"log: {self.logs / f'{trial.name}.log'}")
            return
        best = f"best {self.metric.said(record.score)} at epoch {record.best['epoch']}" if record.best else ""
        left = self.standing.study_left()
        study = f"{self.study.name}: {duration(left)} left" if left else ""
        self._tell(trial, str(record.outcome), best, f"took {duration(record.seconds)}", study)

    def study_ended(self) -> None:
        """How the trials ended."""
        self.standing.close()
        states = [each.state for each in self.standing.trials.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        self._say(f"{self.study.name}: {counts or 'no trials'}, after {duration(self.standing.elapsed)}")

    def _tell(self, trial: Trial, *parts: str) -> None:
        of = f"/{self.standing.total}" if self.standing.total is not None else ""
        self._say("  ".join([f"[{self.standing.ended}{of}] {trial.name}", *filter(None, parts)]))

    def _say(self, line: str) -> None:
        print(line, file=self.file, flush=True)
