"""What a study ends with: the ranked arms, the confirmed arms, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable
from simclip.cli.wording.arm_tables import confirm_table, search_table
from simclip.cli.wording.failures import failure_lines
from simclip.cli.wording.formatting import counted
from simclip.cli.wording.verdict import sentences
from simclip.study.analysis.results import StudyResults
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record


def ranking(results: StudyResults) -> RenderableType:
    """The table of the search's arms, and what failed or was stopped."""
    table = search_table(results)
    if table is None:
        return Text("No trial has ended yet.")
    return Group(FittingTable(table), *_marks(results.search))


def confirmation(results: StudyResults) -> FittingTable | None:
    """The table of the confirmed arms; None before the stage has a result."""
    table = confirm_table(results)
    return None if table is None else FittingTable(table)


def closing(
    results: StudyResults, folder: StudyFolder, command: str, report: str | None = None, retry: str | None = None
) -> RenderableType:
    """The verdict and how far to trust it, the places of all results, and the trials that failed.

    Args:
        results: The study's results.
        folder: Where they are.
        command: The command that reproduces the best arm.
        report: Path of the report, if there is one.
        retry: The command that runs failed trials again.
    """
    best = results.best
    places = Table.grid(padding=(0, 2, 0, 0))
    places.add_column(no_wrap=True)
    places.add_column(overflow="fold")
    places.add_row("Results", Text(folder.place()))
    if report:
        places.add_row("Report", Text(report))
    if best:
        missing = folder.file.is_file() and not folder.mirror and not (folder.path / layout.BEST_MODEL).is_dir()
        model = "not kept; the next command makes it again" if missing else folder.place(layout.BEST_MODEL)
        places.add_row("Best model", Text(f"{model}  ({best.record.trial})"))
        places.add_row("Reproduce it", Text(command))
    first, *others = sentences(results)
    said = [Text(first, "bold"), *(Text(each) for each in others)]
    return Group(*said, Text(), places, *_failures(results, folder, retry))


def _marks(records: Mapping[str, Record]) -> Iterator[Text]:
    """What ■ means in the table of the search."""
    if stopped := sum(record.outcome == "stopped" for record in records.values()):
        yield Text(f"■ {counted(stopped, 'trial')} stopped early by the scheduler: scored on fewer epochs", "dim")


def _failures(results: StudyResults, folder: StudyFolder, retry: str | None) -> Iterator[Text]:
    if failed := sum(record.outcome == "failed" for record in results.ended.values()):
        yield Text(f"\n{counted(failed, 'trial')} failed:", "red")
        for line in failure_lines(results, folder):
            yield Text(f"  {line}", overflow="fold")
        if retry:
            yield Text(f"To try again: {retry}", overflow="fold")
