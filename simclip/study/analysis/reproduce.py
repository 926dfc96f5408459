"""Run a trial again and compare: on its own seed to the last bit, on fresh seeds with the confirmed interval."""

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

#: First seed that neither a search nor a confirm stage uses.
FIRST_FRESH_SEED = 2000


@dataclass(frozen=True)
class Comparison:
    """One metric as recorded and as measured again; None if a run lacks the metric."""

    name: str
    expected: float | None
    measured: float | None

    @property
    def same(self) -> bool:
        """Whether both are equal to the last bit."""
        return self.expected == self.measured


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """The confirmed metric in further runs, compared with the confirm stage.

    Attributes:
        metric: The metric.
        scores: Scores of the further runs, by seed.
        mean: Mean of these scores.
        confirmed: Mean of the confirm stage.
        seeds: Number of seeds in the confirm stage.
        expected: 95% prediction interval for the mean of the further runs; None if only one seed was confirmed.
    """

    metric: str | dict[str, float]
    scores: dict[int, float]
    mean: float
    confirmed: float
    seeds: int
    expected: tuple[float, float] | None

    @property
    def inside(self) -> bool:
        """Whether the mean lies in the expected interval."""
        return self.expected is not None and self.expected[0] <= self.mean <= self.expected[1]


def rerun(best: Best, seeds: int | None = None) -> SingleRun:
    """The trial as a single run, with its threads, workers, precision, micro-batch and kind of device.

    The number of reserved CPUs changes no figure, and the machine at hand may have fewer of them.

    Args:
        best: The trial.
        seeds: Number of fresh seeds; by default the trial's own seed.
    """
    fresh = range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + (seeds or 0))
    resources = best.resources.model_copy(update={"cpus": None})
    return single_run(f"{best.study}-reproduced", best.train, resources, best.trial.rpartition("-s")[0], fresh)


def compare(best: Best, record: Record) -> list[Comparison]:
    """Compare every metric at the best epoch of the recorded trial and of the new run."""
    measured: dict[str, Any] = {"epoch": record.best["epoch"], **mean_metrics([record.best])} if record.best else {}
    names = [*best.expect, *(name for name in measured if name not in best.expect)]
    return [Comparison(name, best.expect.get(name), measured.get(name)) for name in names]


def repeated(best: Best, records: Sequence[Record]) -> Repetition | None:
    """Compare further runs with the confirm stage; None if nothing was confirmed, or no run has a score."""
    confirmed = best.confirmed
    scores = {r.seed: objective(confirmed.metric, r.best) for r in records if confirmed and r.best}
    if confirmed is None or not scores:
        return None
    return Repetition(
        metric=confirmed.metric,
        scores=scores,
        mean=statistics.fmean(scores.values()),
        confirmed=confirmed.mean,
        seeds=confirmed.n,
        expected=expected_range(confirmed.spread, len(scores)),
    )
