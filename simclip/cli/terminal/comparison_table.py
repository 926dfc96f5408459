"""What `reproduce` prints: a run compared with the recorded one, or runs on fresh seeds with the confirmed ones."""

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


def comparison_table(
    comparison: Sequence[Comparison], repetition: Repetition | None, folder: StudyFolder
) -> RenderableType:
    """PASS, or a table of the metrics that differ and whether the score is in the expected range.

    Args:
        comparison: All metrics.
        repetition: The run compared with the confirmed seeds, if there are any.
        folder: The results of the new run.
    """
    where = Text(f"Model: {folder.place(layout.BEST_MODEL)}", no_wrap=True, overflow="ignore")  # a path to copy
    differing = [each for each in comparison if not each.same]
    if not differing:
        return Group(Text(f"PASS: all {len(comparison)} metrics are the same to the last bit", "green"), where)
    table = Table(
        [Column("metric", min_width=14), Column("recorded", right=True), Column("now", right=True)],
        [Row([text_cell(str(value)) for value in (each.name, each.expected, each.measured)]) for each in differing],
    )
    summary = Text(f"DIFFERENT: {len(differing)} of {len(comparison)} metrics", "red")
    return Group(FittingTable(table), summary, *_expected(repetition), where)


def repetition_lines(
    best: Best, records: Sequence[Record], repetition: Repetition | None, folder: StudyFolder
) -> RenderableType:
    """The scores of runs on fresh seeds, and whether their mean is in the range that the confirm stage predicts.

    Args:
        best: The configuration that was run again.
        records: The records of the new runs.
        repetition: The runs compared with the confirmed seeds, if there are any.
        folder: The results of the new runs.
    """
    where = Text(f"Model: {folder.place(layout.BEST_MODEL)}", no_wrap=True, overflow="ignore")  # a path to copy
    if repetition is None:
        metric = Metric.of(records[0].config.metric)
        scores = ", ".join(metric.formatted(record.score) or str(record.outcome) for record in records)
        reason = f"NOTHING TO COMPARE WITH: {best.trial.rpartition('-s')[0]} was not confirmed by the study"
        return Group(
            Text(f"{metric.name} on {counted(len(records), 'fresh seed')}: {scores}"), Text(reason, "red"), where
        )
    verdict = Text("PASS: inside", "green") if repetition.inside else Text("DIFFERENT: not inside", "red")
    metric = Metric.of(repetition.metric)
    each = ", ".join(f"{metric.formatted(score)} (seed {seed})" for seed, score in repetition.scores.items())
    return Group(Text(f"{metric.name}: {each}"), *_expected(repetition), verdict, where)


def _expected(repetition: Repetition | None) -> list[Text]:
    """The mean of the runs, and the range that the confirmed seeds predict for it."""
    if repetition is None:
        return []
    metric, runs = Metric.of(repetition.metric), len(repetition.scores)
    mean = f"{metric.name} {metric.formatted(repetition.mean)}" + (f" on average over {runs} seeds" if runs > 1 else "")
    confirmed = f"confirmed: {metric.formatted(repetition.confirmed)} over {counted(repetition.seeds, 'seed')}"
    if repetition.expected is None:
        return [Text(f"{mean}; {confirmed}, so the spread is unknown")]
    low, high = repetition.expected
    inside = "inside" if repetition.inside else "outside of"
    of = "one such run" if runs == 1 else f"the mean of {runs} such runs"
    return [
        Text(f"{mean}; {confirmed}; {inside} the range of {of}, {metric.bare(low)} to {metric.formatted(high)} (95%)")
    ]
