"""`tune.py report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console, Group
from rich.text import Text

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.wording.verdict import sentences
from simclip.errors import InputError
from simclip.report import write_comparison, write_report
from simclip.study.analysis.results import StudyResults
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder


def report(
    studies: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Write the report of a study that runs or has ended, or of several side by side.

    Args:
        studies: results folders, or their URIs.
        to: the page; by default report.html in the study's folder, or comparison.html here for several studies.
    """
    console = Console()
    if not studies:
        raise InputError("no results folder: give that of a study, such as results/demo")
    folders = [StudyFolder.at(each) for each in studies]
    if len(folders) == 1:
        page: str | Path = write_report(folders[0], to)
        if to is None:
            folders[0].push()
            page = folders[0].place(layout.REPORT)
        console.print(Group(*(Text(each) for each in sentences(StudyResults.read(folders[0])))))
    else:
        page = write_comparison(folders, to or Path("comparison.html"))
    say(console, f"Report: {page}")
    return DONE
