"""The live table: what a person at a terminal watches while a study runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable, fitted_line, shortened
from simclip.cli.terminal.progress_state import Standing, State, TrialStanding
from simclip.cli.wording.formatting import Metric, counted, duration, reason
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
#: Lines of the heading and of the table's head.
HEAD = 4
MOST_FAILURES = 3


class LiveTable(Listener):
    """One table with a row per trial, redrawn in place, never larger than the terminal.

    Args:
        study: The study.
        console: A terminal's.
        ended: Records of trials that ended in earlier runs.
        clock: Seconds since any moment.
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
        self.standing = Standing(study, ended, clock)
        self._lock = threading.Lock()  # events come from the driver's thread, redraws from Live's
        self._live = Live(self, console=console, refresh_per_second=2, vertical_overflow="crop")

    def study_started(self, trials: Sequence[Trial], concurrency: int) -> None:
        """Put the table up."""
        with self._lock:
            self.standing.plan(trials, concurrency)
        self._live.start()

    def confirm_started(self, trials: Sequence[Trial], records: Mapping[str, Record]) -> None:
        """Add its rows, and say above the table what it can detect."""
        with self._lock:
            self.standing.plan(trials, self.standing.concurrency)
        self._live.console.print(Text(before_confirming(StudyResults(self.study, records))))

    def trial_started(self, trial: Trial) -> None:
        """Mark its row as running."""
        with self._lock:
            self.standing.start(trial)

    def epoch_ended(self, trial: Trial, row: history.Row) -> None:
        """Move its row on."""
        with self._lock:
            self.standing.hear(trial, row)

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """Mark its row as ended."""
        with self._lock:
            self.standing.end(trial, record)

    def study_ended(self) -> None:
        """Leave the table as it is on the screen, with the cursor below it."""
        with self._lock:
            self.standing.close()
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            parts = list(self._parts(options.max_width, options.size.height - 1))
        lines = [line for part in parts for line in console.render_lines(part, options, pad=False)]
        for line in lines[: options.size.height - 1]:
            yield from line
            yield Segment.line()

    def _parts(self, width: int, height: int) -> Iterator[RenderableType]:
        failed = self.standing.those("failed")[:MOST_FAILURES]
        rows = self._chosen(max(1, height - HEAD - len(failed)))
        yield self._heading(width)
        order = ", lower is better" if self.study.mode == "min" else ""
        yield shortened(Text(self.metric.unit + order, "dim"), width)
        arms = [each.trial.arm.name for each in rows]
        shown = [arm if arm != above else "" for above, arm in zip(["", *arms], arms, strict=False)]
        yield FittingTable(Table(COLUMNS, [self._row(*each) for each in zip(rows, shown, strict=True)]))
        if len(rows) < len(self.standing.trials):
            yield shortened(self._rest(rows), width)
        for each in failed:
            line = _failure(each)
            line.truncate(width, overflow="ellipsis")
            yield line

    def _heading(self, width: int) -> Text:
        standing = self.standing
        left = standing.study_left()
        running = len(standing.those("running"))
        failed = len(standing.those("failed"))
        ended, total = standing.ended, standing.total
        pieces = [
            (5, _bar(standing.share, "running") if total else Text()),
            (0, Text(counted(ended, "trial") if total is None else f"{ended} of {total} trials")),
            (1, Text(f"{duration(left)} left" if left is not None else "", "bold")),
            (2, Text(f"{running} running" if running else "")),
            (3, Text(f"{failed} failed" if failed else "", "red")),
            (4, Text(f"after {duration(standing.elapsed)}", "dim")),
        ]
        return fitted_line(Text(self.study.name, "bold"), pieces, width)

    def _chosen(self, room: int) -> list[TrialStanding]:
        """All trials if there is room, in their order; or else those that run, then those of the leading arms."""
        trials = list(self.standing.trials.values())
        if len(trials) <= room:
            return trials
        places = {arm.name: place for place, arm in enumerate(self.standing.arms)}

        def importance(each: TrialStanding) -> tuple[int, int]:
            if each.state in ("finished", "stopped"):
                return 1, places[each.trial.arm.name]
            return (0, 0) if each.state == "running" else (2, 0)

        return sorted(trials, key=importance)[: room - 1]

    def _row(self, each: TrialStanding, arm: str) -> Row:
        sign, tone = SIGNS[each.state]
        left = self.standing.left(each) if each.state == "running" else None
        texts: list[str | Text] = [
            arm,
            str(each.trial.seed),
            _bar(each.epoch / each.epochs, each.state),
            f"{each.epoch}/{each.epochs}" if each.history else "",
            self.metric.bare(each.latest),
            self.metric.bare(each.best),
            self.metric.difference(self.standing.difference(each)),
            duration(left),
        ]
        cells = [*map(Cell, texts), Cell(each.state, tone=tone)]
        return Row(cells, Cell(sign, tone=tone), tone if each.state in ("running", "waiting") else "")

    def _rest(self, rows: list[TrialStanding]) -> Text:
        """How many trials are not shown, by state."""
        shown = {each.trial.name for each in rows}
        hidden = [each.state for name, each in self.standing.trials.items() if name not in shown]
        counts = ", ".join(f"{hidden.count(state)} {state}" for state in SIGNS if state in hidden)
        return Text(f"{len(hidden)} more: {counts}", "dim")


def _bar(share: float, state: State) -> Text:
    full = round(BAR * share)
    return Text.assemble(("━" * full, "red" if state == "failed" else "green"), ("━" * (BAR - full), "dim"))


def _failure(each: TrialStanding) -> Text:
    assert each.record is not None
    return Text.assemble((f"✗ {each.trial.name}", "red"), f"  {reason(each.record)}")
