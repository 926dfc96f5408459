"""The failed trials of a study in words."""

from __future__ import annotations

from collections.abc import Iterator

from simclip.cli.wording.formatting import reason
from simclip.study.analysis.results import StudyResults
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record


def failure_lines(results: StudyResults, folder: StudyFolder) -> Iterator[str]:
    """Two lines per arm with failed trials: their seeds and the first one's error, and where its log is."""
    by_arm: dict[str, list[Record]] = {}
    for record in sorted(results.ended.values(), key=lambda record: record.seed):
        if record.outcome == "failed":
            by_arm.setdefault(record.arm, []).append(record)
    for arm, failed in sorted(by_arm.items()):
        seeds = ", ".join(str(record.seed) for record in failed)
        yield f"{arm}, {'seed' if len(failed) == 1 else 'seeds'} {seeds}: {reason(failed[0])}"
        yield f"  {folder.place(layout.LOGS, failed[0].trial)}.log"
