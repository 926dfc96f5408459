"""Run a trial again by itself and compare: on its own seed to the last bit, on fresh seeds by the interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simclip.evaluation.objective import objective
from simclip.study.analysis.best import Best
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.statistics import expected_range
from simclip.study.spec.single_run import SingleRun, single_run
from simclip.study.store.records import Record

#: Seeds that neither a search nor a confirm stage has used.
FIRST_FRESH_SEED = 2000


@dataclass(frozen=True)
class Comparison:
    """One metric, as recorded and as measured again; None where a run has none of that name."""

    name: str
    expected: float | None
    measured: float | None

    @property
    def same(self) -> bool:
        """Whether they are equal to the last bit."""
        return self.expected == self.measured


@dataclass(frozen=True)
class Repetition:
    """The confirmed metric of some further runs, beside what the confirm stage leads one to expect.

    Attributes:
        metric: Which.
        scores: By seed.
        mean: Of them.
        confirmed: The confirmed mean.
        seeds: Of the confirm stage.
        expected: Where the mean of so many runs lies with 95% probability; None where one seed alone was confirmed.
    """

    metric: str | dict[str, float]
    scores: dict[int, float]
    mean: float
    confirmed: float
    seeds: int
    expected: tuple[float, float] | None

    @property
    def inside(self) -> bool:
        """Whether the mean lies where it was expected."""
        return self.expected is not None and self.expected[0] <= self.mean <= self.expected[1]


def rerun(best: Best, seeds: int | None = None) -> SingleRun:
    """The trial as a study of its own, with its threads, workers, micro-batch and seed, or on so many fresh seeds."""
    fresh = range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + (seeds or 0))
    return single_run(f"{best.study}-reproduced", best.train, best.resources, best.trial.rpartition("-s")[0], fresh)


def compare(best: Best, record: Record) -> list[Comparison]:
    """Every metric of the best epoch, before and now."""
    measured: dict[str, Any] = {"epoch": record.best["epoch"], **mean_metrics([record.best])} if record.best else {}
    names = [*best.expect, *(name for name in measured if name not in best.expect)]
    return [Comparison(name, best.expect.get(name), measured.get(name)) for name in names]


def repeated(best: Best, records: Sequence[Record]) -> Repetition | None:
    """The runs beside what was confirmed; None where nothing was, or where no run has a score."""
    confirmed = best.confirmed
    scores = {r.seed: objective(confirmed.metric, r.best) for r in records if confirmed and r.best}
    if confirmed is None or not scores:
        return None
    expected = expected_range(confirmed.spread, len(scores))
    mean = statistics.fmean(scores.values())
    return Repetition(confirmed.metric, scores, mean, confirmed.mean, confirmed.n, expected)
