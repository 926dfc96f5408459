"""What the confirm stage has measured: the scores of its trials, and the noise of the test items behind them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from simclip.evaluation.objective import objective
from simclip.study.analysis.comparison.item_noise import item_covariance
from simclip.study.analysis.comparison.two_way import Floats
from simclip.study.analysis.ranking import ArmResult
from simclip.study.spec.study import StudyConfig
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.records import Record


@dataclass(frozen=True)
class Evidence:
    """The finished trials of the confirm stage.

    Attributes:
        metric: The confirmed metric.
        control: Name of the control.
        by_arm: The trials by arm; contenders without a finished trial are left out.
        files: The files with the trials' test items; None covers no items.
    """

    metric: str | dict[str, float]
    control: str
    by_arm: Mapping[str, Sequence[Record]]
    files: ItemFiles | None

    @classmethod
    def of(
        cls, study: StudyConfig, contenders: Sequence[ArmResult], records: Iterable[Record], files: ItemFiles | None
    ) -> Evidence | None:
        """Collect the finished trials; None without any, or without a control.

        Args:
            study: The study.
            contenders: The arms that the confirm stage compares, the control first.
            records: The ended trials of the confirm stage.
            files: The files with their test items.
        """
        confirmed = list(records)
        by_arm: dict[str, list[Record]] = {arm.name: [] for arm in contenders}
        for record in confirmed:
            if record.outcome == "finished" and record.best:
                by_arm.setdefault(record.arm, []).append(record)
        controls = [arm.name for arm in contenders[:1]] + [record.arm for record in confirmed if record.control]
        kept = {name: trials for name, trials in by_arm.items() if trials}
        return cls(study.confirmed_metric, controls[0], kept, files) if kept and controls else None

    def scores(self, seeds: Container[int] | None = None) -> dict[str, dict[int, float]]:
        """The confirmed metric by arm and seed, on some seeds or on all; arms without any are left out."""
        return {
            name: {record.seed: objective(self.metric, record.best or {}) for record in trials}
            for name, trials in self._on(seeds).items()
        }

    def item_covariance(self, seeds: Container[int] | None = None) -> Floats | None:
        """The covariance of the differences over draws of test items, in the order of the arms in `scores`.

        None unless every trial has kept its items.
        """
        if self.files is None:
            return None
        moves: dict[str, dict[int, Floats]] = {}
        for name, trials in self._on(seeds).items():
            for record in trials:
                moved = self.files.scatter(record, self.metric)
                if moved is None:
                    return None
                moves.setdefault(name, {})[record.seed] = moved
        return item_covariance(moves, self.control) if self.control in moves else None

    def _on(self, seeds: Container[int] | None) -> dict[str, list[Record]]:
        found = {
            name: [record for record in trials if seeds is None or record.seed in seeds]
            for name, trials in self.by_arm.items()
        }
        return {name: trials for name, trials in found.items() if trials}
