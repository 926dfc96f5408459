"""Arms ranked by their mean scores over seeds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from simclip.clusters.coverage import EFFECTIVE, LARGEST, SEEN
from simclip.study.store.records import Record
from simclip.train.history import Row

#: Figures of an epoch that are no metrics, besides shares of time.
NOT_METRICS = ("epoch", "seconds", "pairs_per_second", "mfu", SEEN, LARGEST, EFFECTIVE)


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm over its seeds.

    Attributes:
        name: The arm's name.
        control: Whether the arm is a control.
        scores: The objective at each trial's best epoch, by seed; failed trials are excluded.
        mean: Mean score; None without scores.
        std: Sample standard deviation of the scores; None below two scores.
        difference: Mean difference to the best control on the seeds that both have.
        metrics: Mean of every metric at the best epoch.
        complete: Whether every ended trial of the arm finished: none failed, none was stopped.
    """

    name: str
    control: bool
    scores: dict[int, float]
    mean: float | None
    std: float | None
    difference: float | None
    metrics: dict[str, float]
    complete: bool


class Ranking:
    """The arms that have an ended trial, the best mean first; arms without a score come last. It does not change.

    Args:
        records: The ended trials.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._trials: dict[str, dict[str, Record]] = {}  # by arm, then by trial
        self._places: dict[str, tuple[bool, float]] = {}  # by arm; the smallest leads
        for record in records:
            self._add(record)

    def with_trial(self, record: Record) -> Ranking:
        """The ranking with one more ended trial; only its own arm is looked at again."""
        after = Ranking()
        after._trials, after._places = {**self._trials}, {**self._places}
        after._add(record)
        return after

    @cached_property
    def names(self) -> list[str]:
        """Names of the arms in order; of arms that are equally good, arm-2 leads arm-10, whichever ended first."""
        return sorted(self._places, key=lambda name: (self._places[name], _numbers_apart(name)))

    @property
    def controls(self) -> list[str]:
        """Names of the controls in order."""
        return [name for name in self.names if self._records(name)[0].control]

    @cached_property
    def arms(self) -> list[ArmResult]:
        """The results of the arms in order."""
        reference = self._reference
        return [_arm_result(name, self._records(name), reference) for name in self.names]

    @cached_property
    def control(self) -> ArmResult | None:
        """The best control, which differences refer to; None before a control has a score."""
        reference = self._reference
        return _arm_result(reference[0].arm, reference, reference) if reference else None

    @property
    def _reference(self) -> list[Record]:
        """The trials of the best control; none before a control has a score."""
        best = next((name for name in self.controls if not self._places[name][0]), None)
        return self._records(best) if best is not None else []

    def _records(self, arm: str) -> list[Record]:
        return [*self._trials[arm].values()]

    def _add(self, record: Record) -> None:
        name = record.arm
        self._trials[name] = {**self._trials.get(name, {}), record.trial: record}
        mean = _mean(_scores(self._records(name)).values())
        sign = 1 if record.config.mode == "max" else -1
        self._places[name] = mean is None, -sign * (mean or 0.0)


def _numbers_apart(name: str) -> list[str | int]:
    """The parts of a name, texts and whole numbers in turn, so that 2 precedes 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _arm_result(name: str, records: list[Record], control: list[Record]) -> ArmResult:
    scores, reference = _scores(records), _scores(control)
    return ArmResult(
        name=name,
        control=records[0].control,
        scores=scores,
        mean=_mean(scores.values()),
        std=statistics.stdev(scores.values()) if len(scores) > 1 else None,
        difference=_mean(scores[seed] - reference[seed] for seed in scores if seed in reference),
        metrics=mean_metrics([record.best for record in records if record.best and record.seed in scores]),
        complete=all(record.outcome == "finished" for record in records),
    )


def _scores(records: list[Record]) -> dict[int, float]:
    """The scores by seed, in the seeds' order; failed trials are excluded."""
    kept = sorted((record for record in records if record.outcome != "failed"), key=lambda record: record.seed)
    return {record.seed: record.score for record in kept if record.score is not None}


def mean_metrics(rows: list[Row]) -> dict[str, float]:
    """The mean of every evaluation metric over some epochs, without speeds and shares of time."""
    names = [name for name in (rows[0] if rows else {}) if name not in NOT_METRICS and not name.startswith("share/")]
    return {name: statistics.fmean(row[name] for row in rows) for name in names}


def base_model_metrics(records: Mapping[str, Record]) -> dict[str, float]:
    """The metrics of the model before any training: the same in every trial, except that random weights differ by seed.

    With `pretrain` it is the mean over the seeds. The control's records come first.
    """
    begun = sorted((each for each in records.values() if each.history), key=lambda each: (not each.control, each.trial))
    by_seed: dict[int, Record] = {}
    for record in begun:
        by_seed.setdefault(record.seed, record)
    chosen = [by_seed[seed] for seed in sorted(by_seed)] if begun and begun[0].config.pretrain else begun[:1]
    return mean_metrics([record.history[0] for record in chosen])


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return statistics.fmean(numbers) if numbers else None
