"""`tune.py report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.errors import InputError
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder


def report(
    studies: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Write the report of a study, running or finished, or of several studies side by side.

    Args:
        studies: results folders or their URIs.
        to: file of the page; by default report.html in the study's folder, or comparison.html in the working folder.
    """
    console = SafeConsole()
    if not studies:
        raise InputError("no results folder: give the one of a study, e.g. results/demo")
    folders = [StudyFolder.at(each) for each in studies]
    names = [folder.study().name for folder in folders]
    say(console, f"Writing the report of {', '.join(names)}...")
    from simclip.cli.wording.verdict import sentences
    from simclip.report import write_comparison, write_report
    from simclip.study.analysis.results import StudyResults

    if len(folders) == 1:
        page: str | Path = write_report(folders[0], to)
        if to is None:
            folders[0].push()
            page = folders[0].place(layout.REPORT)
        for line in sentences(StudyResults.read(folders[0])):
            say(console, line)
    else:
        page = write_comparison(folders, to or Path("comparison.html"))
    say(console, f"Report: {page}")
    return DONE
