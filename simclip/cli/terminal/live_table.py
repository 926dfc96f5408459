"""The live table: the progress of a study in a terminal, redrawn in place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable, fitted_line, shortened
from simclip.cli.terminal.plain_lines import PlainLines
from simclip.cli.terminal.progress_state import ProgressState, State, TrialProgress
from simclip.cli.wording.arm_tables import best_control, settings_text, unnamed_settings
from simclip.cli.wording.formatting import Metric, duration, reason
from simclip.cli.wording.table import Cell, Column, Row, Table, Tone
from simclip.cli.wording.verdict import before_confirming
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train import history

#: Sign and tone of each state.
SIGNS: Mapping[State, tuple[str, Tone]] = {
    "waiting": ("·", "dim"),
    "running": ("▸", "bold"),
    "finished": ("✓", "good"),
    "stopped": ("■", "dim"),
    "failed": ("✗", "bad"),
    "interrupted": ("■", "bad"),
}
COLUMNS = [
    Column("arm", min_width=14),
    Column("settings", priority=6),
    Column("seed", right=True),
    Column("", priority=5),
    Column("epoch", right=True),
    Column("latest", right=True, priority=4),
    Column("best", right=True),
    Column("vs control", right=True, priority=3),
    Column("left", right=True, priority=1),
    Column("state", priority=2),
]
BAR = 10
#: Number of lines above the first row.
HEAD = 4
MOST_FAILURES = 3


class LiveTable(Listener):
    """A table with a row per trial, redrawn in place and never larger than the terminal.

    Args:
        study: The study.
        console: The terminal.
        ended: Records of trials that ended in earlier runs.
        clock: Returns seconds since an arbitrary moment.
    """

    def __init__(
        self,
        study: StudyConfig,
        console: Console,
        ended: Mapping[str, Record] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study = study
        self.metric = Metric.of(study.metric)
        self._settings = unnamed_settings(study)
        self.progress = ProgressState(study, ended, clock)
        self._lock = threading.Lock()  # events come from the driver's thread, redraws from rich's
        self._live = Live(self, console=console, refresh_per_second=2, vertical_overflow="crop")

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Show the table."""
        with self._lock:
            self.progress.plan(trials, concurrency)
        self._live.start()

    def confirm_started(self, trials: Sequence[Trial], results: StudyResults) -> None:
        """Add the rows of the confirm stage, and print the difference that it can detect above the table."""
        with self._lock:
            self.progress.plan(trials, self.progress.concurrency)
        self._live.console.print(Text(before_confirming(results)))

    def trial_started(self, trial: Trial) -> None:
        """Mark the row as running."""
        with self._lock:
            self.progress.start(trial)

    def epoch_ended(self, trial: Trial, row: history.Row) -> None:
        """Update the row."""
        with self._lock:
            self.progress.record_epoch(trial, row)

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Show how the trial ended."""
        with self._lock:
            self.progress.end(trial, record)

    def study_ended(self) -> None:
        """Leave the final table on the screen, with the cursor below it."""
        with self._lock:
            self.progress.close()
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            parts = list(self._parts(options.max_width, options.size.height - 1))
        lines = [line for part in parts for line in console.render_lines(part, options, pad=False)]
        for line in lines[: options.size.height - 1]:
            yield from line
            yield Segment.line()

    def _parts(self, width: int, height: int) -> Iterator[RenderableType]:
        # At the end of the study all of them are listed below the table.
        failed = [] if self.progress.closed else self.progress.in_state("failed")[:MOST_FAILURES]
        rows = self._chosen(max(1, height - HEAD - len(failed)))
        yield self._heading(width)
        order = ", lower is better" if self.study.mode == "min" else ""
        yield shortened(Text(self.metric.unit + order, "dim"), width)
        arms = [each.trial.arm.name for each in rows]
        shown = [arm if arm != above else "" for above, arm in zip(["", *arms], arms, strict=False)]
        reference = best_control(len(self.progress.order.controls))
        columns = [replace(each, heading=reference) if each.heading == "vs control" else each for each in COLUMNS]
        columns = [each for each in columns if each.heading != "settings" or self._settings]
        yield FittingTable(Table(columns, [self._row(*each) for each in zip(rows, shown, strict=True)]))
        if len(rows) < len(self.progress.trials):
            yield shortened(self._rest(rows), width)
        for each in failed:
            line = _failure(each)
            line.truncate(width, overflow="ellipsis")
            yield line

    def _heading(self, width: int) -> Text:
        progress = self.progress
        left, ended, total = progress.study_left(), progress.ended, progress.total
        running, failed = len(progress.in_state("running")), len(progress.in_state("failed"))
        pieces = [
            (5, _bar(progress.share, "running") if total else Text()),
            (0, Text(f"{ended} of {total} trials")),
            (1, Text(f"{duration(left)} left" if left is not None else "", "bold")),
            (2, Text(f"{running} running" if running else "")),
            (3, Text(f"{failed} failed" if failed else "", "red")),
            (4, Text(f"after {duration(progress.elapsed)}", "dim")),
        ]
        return fitted_line(Text(self.study.name, "bold"), pieces, width)

    def _chosen(self, room: int) -> list[TrialProgress]:
        """All trials if there is room; otherwise the running ones, then those of the best arms."""
        trials = list(self.progress.trials.values())
        if len(trials) <= room:
            return trials
        places = {arm: place for place, arm in enumerate(self.progress.order.names)}

        def importance(each: TrialProgress) -> tuple[int, int]:
            if each.state in ("finished", "stopped"):
                return 1, places[each.trial.arm.name]
            return (0, 0) if each.state == "running" else (2, 0)

        return sorted(trials, key=importance)[: room - 1]

    def _row(self, each: TrialProgress, arm: str) -> Row:
        sign, tone = SIGNS[each.state]
        left = self.progress.left(each) if each.state == "running" else None
        texts: list[str | Text] = [
            arm,
            *([settings_text(each.trial.config, self._settings) if arm else ""] if self._settings else []),
            str(each.trial.seed),
            _bar(each.epoch / each.epochs, each.state),
            f"{each.epoch}/{each.epochs}" if each.history else "",
            self.metric.bare(each.latest),
            self.metric.bare(each.best),
            self.metric.difference(self.progress.difference(each)),
            duration(left),
        ]
        cells = [*map(Cell, texts), Cell(each.state, tone=tone)]
        return Row(cells, Cell(sign, tone=tone), tone if each.state in ("running", "waiting") else "")

    def _rest(self, rows: list[TrialProgress]) -> Text:
        """The number of trials that are not shown, by state."""
        shown = {each.trial.name for each in rows}
        hidden = [each.state for name, each in self.progress.trials.items() if name not in shown]
        counts = ", ".join(f"{hidden.count(state)} {state}" for state in SIGNS if state in hidden)
        return Text(f"{len(hidden)} more: {counts}", "dim")


def progress_listener(
    console: Console, study: StudyConfig, logs: Path, ended: Mapping[str, Record] | None = None
) -> Listener:
    """A live table on a terminal that can redraw, plain lines anywhere else.

    Args:
        console: Where to show the progress.
        study: The study.
        logs: Folder of the trials' log files.
        ended: Records of trials that ended in earlier runs.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveTable(study, console, ended)
    return PlainLines(study, logs, console.file, ended)


def _bar(share: float, state: State) -> Text:
    full = round(BAR * share)
    return Text.assemble(("━" * full, "red" if state == "failed" else "green"), ("━" * (BAR - full), "dim"))


def _failure(each: TrialProgress) -> Text:
    assert each.record is not None
    return Text.assemble((f"✗ {each.trial.name}", "red"), f"  {reason(each.record)}")
