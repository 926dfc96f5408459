"""A run next to the one that it reproduces, or further runs next to what was confirmed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable
from simclip.cli.wording.formatting import Metric, counted
from simclip.cli.wording.table import Column, Row, Table, text_cell
from simclip.study.analysis.best import Best
from simclip.study.analysis.reproduce import Comparison, Repetition
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record


def shown_comparison(
    comparison: Sequence[Comparison], repetition: Repetition | None, folder: StudyFolder
) -> RenderableType:
    """PASS, or the metrics that differ and whether that is within what was confirmed; and where the model lies.

    Args:
        comparison: Every metric.
        repetition: The run beside what was confirmed, if something was.
        folder: Results of the new run.
    """
    where = Text(f"Model: {folder.place(layout.BEST_MODEL)}", no_wrap=True, overflow="ignore")  # a path to copy
    differing = [each for each in comparison if not each.same]
    if not differing:
        return Group(Text(f"PASS: all {len(comparison)} metrics are the same to the last bit", "green"), where)
    table = Table(
        [Column("metric", min_width=14), Column("recorded", right=True), Column("now", right=True)],
        [Row([text_cell(str(value)) for value in (each.name, each.expected, each.measured)]) for each in differing],
    )
    said = Text(f"DIFFERENT: {len(differing)} of {len(comparison)} metrics", "red")
    return Group(FittingTable(table), said, *_expected(repetition), where)


def shown_repetition(
    best: Best, records: Sequence[Record], repetition: Repetition | None, folder: StudyFolder
) -> RenderableType:
    """Runs on fresh seeds, and whether their mean lies where the confirm stage leads one to expect it.

    Args:
        best: What was run again.
        records: Of the new runs.
        repetition: The runs beside what was confirmed, if something was.
        folder: Their results.
    """
    where = Text(f"Model: {folder.place(layout.BEST_MODEL)}", no_wrap=True, overflow="ignore")  # a path to copy
    if repetition is None:
        metric = Metric.of(records[0].config.metric)
        scores = ", ".join(metric.said(record.score) or str(record.outcome) for record in records)
        said = f"NOTHING TO COMPARE WITH: {best.trial.rpartition('-s')[0]} was not confirmed by the study"
        return Group(
            Text(f"{metric.name} on {counted(len(records), 'fresh seed')}: {scores}"), Text(said, "red"), where
        )
    verdict = Text("PASS: inside", "green") if repetition.inside else Text("DIFFERENT: not inside", "red")
    metric = Metric.of(repetition.metric)
    each = ", ".join(f"{metric.said(score)} (seed {seed})" for seed, score in repetition.scores.items())
    return Group(Text(f"{metric.name}: {each}"), *_expected(repetition), verdict, where)


def _expected(repetition: Repetition | None) -> list[Text]:
    """The mean beside the range in which the confirmed seeds lead one to expect it."""
    if repetition is None:
        return []
    metric, runs = Metric.of(repetition.metric), len(repetition.scores)
    mean = f"{metric.name} {metric.said(repetition.mean)}" + (f" on average over {runs} seeds" if runs > 1 else "")
    confirmed = f"confirmed: {metric.said(repetition.confirmed)} over {counted(repetition.seeds, 'seed')}"
    if repetition.expected is None:
        return [Text(f"{mean}; {confirmed}, which says nothing about the spread")]
    low, high = repetition.expected
    inside = "inside" if repetition.inside else "outside of"
    of = "one such run" if runs == 1 else f"the mean of {runs} such runs"
    return [Text(f"{mean}; {confirmed}; {inside} the range of {of}, {metric.bare(low)} to {metric.said(high)} (95%)")]
