"""All studies of a folder of results: state, best arm, age, disk."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from simclip.cli.terminal.fitting_table import FittingTable
from simclip.cli.terminal.study_status import state_of
from simclip.cli.wording.formatting import Metric, counted, duration
from simclip.cli.wording.table import Column, Row, Table, text_cell
from simclip.errors import InputError
from simclip.runtime.files import disk_bytes
from simclip.study.analysis.results import StudyResults
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import damaged


def studies_in(folder: Path) -> list[StudyFolder]:
    """The results in the subfolders of a folder."""
    return [StudyFolder(file.parent.absolute()) for file in sorted(folder.glob(f"*/{layout.STUDY}"))]


def study_list(studies: Sequence[StudyFolder]) -> FittingTable:
    """A table with a row per study; one whose files cannot be read says so in its row."""
    columns = [
        Column("study", min_width=14),
        Column("state", min_width=8),
        Column("trials", right=True, priority=3),
        Column("best arm", priority=1, min_width=10),
        Column("score", right=True, priority=2),
        Column("changed", right=True, priority=4),
        Column("disk", right=True, priority=5),
    ]
    return FittingTable(Table(columns, [_row(each) for each in studies]))


def _row(folder: StudyFolder) -> Row:
    used = f"{disk_bytes(folder.path) / 1e6:,.1f} MB"
    written = max((each.stat().st_mtime for each in (folder.file, *folder.trials.glob("*.jsonl"))), default=0.0)
    age = f"{duration(max(0.0, time.time() - written))} ago"
    try:
        results = StudyResults.read(folder)
        state, best = state_of(folder, results), results.best
        state = "damaged" if damaged(folder.trials) else state
    except InputError as error:
        cells = [folder.path.name, "unreadable", "", str(error), "", age, used]
        return Row([text_cell(each) for each in cells])
    score = ""
    if best:
        stage = results.study.confirmed_metric if best.stage == "confirm" else results.study.metric
        mean = best.arm.spread.mean if hasattr(best.arm, "spread") else best.arm.mean
        score = f"{Metric.of(stage).name} {Metric.of(stage).formatted(mean)}"
    ended = f"{len(results.ended)}"
    cells = [os.path.basename(folder.path), state, ended, best.arm.name if best else "", score, age, used]
    return Row([text_cell(each) for each in cells])


def summary(studies: Sequence[StudyFolder]) -> str:
    """The number of studies and what they take together."""
    total = sum(disk_bytes(each.path) for each in studies)
    return f"{counted(len(studies), 'study')}, {total / 1e6:,.1f} MB"
