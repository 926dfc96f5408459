"""`tune.py report`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.study.analysis.rescore import rescored
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.write_results import read_results
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import damaged


def report(
    studies: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")],
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Write the report of a study, running or finished, or of several studies side by side.

    Args:
        studies: results folders or their URIs; metric=NAME after one ranks it by another metric that its records hold.
        to: file of the page; by default report.html in the study's folder, or comparison.html in the working folder.
    """
    console = SafeConsole()
    overrides = [each for each in studies if "=" in each and not is_uri(each) and not Path(each).exists()]
    studies = tuple(each for each in studies if each not in overrides)
    if overrides and len(studies) != 1:
        raise InputError(f"override {overrides[0]!r}: give one results folder to rank it by another metric")
    if not studies:
        raise InputError("no results folder: give the one of a study, e.g. results/demo")
    folders = [StudyFolder.at(each) for each in studies]
    results = rescored(StudyResults.read(folders[0]), overrides) if overrides else None
    names = [folder.study().name for folder in folders]
    say(console, f"Writing the report of {', '.join(names)}...")
    for folder in folders:
        for path in damaged(folder.trials):
            say(console, f"{path}: damaged; only what precedes the damage counts in the report")
        if (folder.path / layout.RESULTS).exists() and not read_results(folder.path):
            say(console, f"{folder.place(layout.RESULTS)}: damaged; the report has no versions and no hardware")
    from simclip.cli.wording.verdict import sentences
    from simclip.report import write_comparison, write_report

    if len(folders) == 1:
        other = (
            folders[0].path / f"report-by-{re.sub(r'[^A-Za-z0-9]+', '-', overrides[0]).strip('-')}.html"
            if results
            else None
        )
        page: str | Path = write_report(folders[0], to or other, results)
        if to is None and not results:
            folders[0].push()
            page = folders[0].place(layout.REPORT)
        for line in sentences(results or StudyResults.read(folders[0])):
            say(console, line)
    else:
        page = write_comparison(folders, to or Path("comparison.html"))
    say(console, f"Report: {page}")
    return DONE
