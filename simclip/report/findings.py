"""What a report is about: one study and all that its records say, each worked out once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simclip.cli.wording.formatting import Metric
from simclip.html.figure import ARM_COLOURS, INK
from simclip.study.analysis.confirm import confirm_records, search_records
from simclip.study.analysis.ranking import ArmResult, rank_arms
from simclip.study.analysis.verdict import Verdict, judge
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_all
from simclip.train.history import Row


@dataclass(frozen=True)
class Findings:
    """A study, finished or not.

    Attributes:
        folder: Its results.
        study: As it ran.
        records: Of all trials that have begun, by name.
    """

    folder: StudyFolder
    study: StudyConfig
    records: dict[str, Record]

    @cached_property
    def ended(self) -> dict[str, Record]:
        """The trials that have ended."""
        return {name: record for name, record in self.records.items() if record.outcome}

    @cached_property
    def search(self) -> dict[str, Record]:
        """The ended trials of the search."""
        return search_records(self.study, self.ended)

    @cached_property
    def confirm(self) -> dict[str, Record]:
        """The ended trials of the confirm stage."""
        return confirm_records(self.study, self.ended)

    @cached_property
    def arms(self) -> list[ArmResult]:
        """Of the search, the best mean first."""
        return rank_arms(self.search)

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the confirm stage has found so far."""
        return judge(self.study, self.ended)

    @property
    def metric(self) -> Metric:
        """What the search goes by."""
        return Metric.of(self.study.metric)

    @property
    def confirmed(self) -> Metric:
        """What the verdict is about."""
        return Metric.of(self.study.confirmed_metric)

    @property
    def control(self) -> ArmResult | None:
        """The best control of the search."""
        return next((arm for arm in self.arms if arm.control and arm.scores), None)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What results.json says of versions and hardware; empty before it is written."""
        path = self.folder.path / "results.json"
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return content

    @cached_property
    def colours(self) -> dict[str, str]:
        """The control in the text's colour and the arms that matter most in colours; others have none."""
        ranked = [arm.name for arm in self.verdict.arms] if self.verdict else []
        ranked += [arm.name for arm in self.arms if arm.name not in ranked]
        ranked += [name for name in dict.fromkeys(r.arm for r in self.records.values()) if name not in ranked]
        controls = {record.arm for record in self.records.values() if record.control}
        chief = self.verdict.control if self.verdict else self.control.name if self.control else None
        chief = chief or next((name for name in ranked if name in controls), None)
        colours = dict(zip([name for name in ranked if name not in controls], ARM_COLOURS, strict=False))
        return {**({chief: INK} if chief else {}), **colours}

    def untouched(self, stage: Mapping[str, Record]) -> Row:
        """What the model scored before any training, as a stage's first record has it; empty where there is none."""
        return next((record.history[0] for record in stage.values() if record.history), {})


def find(folder: StudyFolder) -> Findings:
    """Read a study's results.

    Raises:
        InputError: There is no study in the folder, or its file is wrong.
    """
    return Findings(folder, folder.study(), read_all(folder.trials))
