"""The listener that shows a study's progress in the way that the output allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from simclip.cli.terminal.live_table import LiveTable
from simclip.cli.terminal.plain_lines import PlainLines
from simclip.study.execution.events import Listener
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


def progress(console: Console, study: StudyConfig, logs: Path, ended: Mapping[str, Record] | None = None) -> Listener:
    """A live table on a terminal that can redraw, plain lines anywhere else.

    Args:
        console: Where to show it.
        study: The study.
        logs: Folder of the trials' log files.
        ended: Records of trials that ended in earlier runs.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveTable(study, console, ended)
    return PlainLines(study, logs, console.file, ended)
