"""A run next to the one that it reproduces."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from simclip.face.fitting import Column, FittingTable
from simclip.study.folder import StudyFolder
from simclip.study.reproduce import Comparison


def shown_comparison(comparison: Sequence[Comparison], folder: StudyFolder) -> RenderableType:
    """PASS or the metrics that differ, and where the model lies.

    Args:
        comparison: Every metric.
        folder: Results of the new run.
    """
    where = Text(f"Model: {folder.best}")
    differing = [each for each in comparison if not each.same]
    if not differing:
        return Group(Text(f"PASS: all {len(comparison)} metrics are the same to the last bit", "green"), where)
    table = FittingTable(
        [
            Column("metric", [Text(each.name) for each in differing], 0, least=14),
            Column("recorded", [Text(str(each.expected)) for each in differing], 0, right=True),
            Column("now", [Text(str(each.measured)) for each in differing], 0, right=True),
        ]
    )
    said = Text(f"DIFFERENT: {len(differing)} of {len(comparison)} metrics", "red")
    return Group(table, said, where)
