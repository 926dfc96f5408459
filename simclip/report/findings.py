"""The results of a study as a page shows them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from simclip.cli.wording.formatting import Metric
from simclip.html.figure import ARM_COLOURS, INK
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.write_results import read_results
from simclip.study.store.folder import StudyFolder


class Findings(StudyResults):
    """The results of a study with its metrics' formats and the colours of its arms.

    Attributes:
        folder: The folder or bucket that holds the results.
    """

    def __init__(self, folder: StudyFolder, results: StudyResults | None = None) -> None:
        results = results or StudyResults.read(folder)
        super().__init__(results.study, results.records, results.items, results.log, results.dropped)
        self.folder = folder

    @property
    def metric(self) -> Metric:
        """The metric that the search optimizes."""
        return Metric.of(self.study.metric)

    @property
    def confirmed(self) -> Metric:
        """The metric that the confirm stage compares."""
        return Metric.of(self.study.confirmed_metric)

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The content of results.json, for versions and hardware; empty if it is missing or damaged."""
        return read_results(self.folder.path)

    @cached_property
    def colours(self) -> dict[str, str]:
        """Colours by arm: the control has the text's colour, the best other arms have one each, the rest has none."""
        ranked = [arm.name for arm in self.verdict.arms] if self.verdict else []
        ranked += [arm.name for arm in self.ranking if arm.name not in ranked]
        ranked += [name for name in dict.fromkeys(r.arm for r in self.records.values()) if name not in ranked]
        controls = {record.arm for record in self.records.values() if record.control}
        reference = self.verdict.control if self.verdict else self.control.name if self.control else None
        reference = reference or next((name for name in ranked if name in controls), None)
        colours = dict(zip([name for name in ranked if name not in controls], ARM_COLOURS, strict=False))
        return {**({reference: INK} if reference else {}), **colours}
