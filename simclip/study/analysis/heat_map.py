"""Heat maps: the scores of a search by cluster size k and proportion p."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from simclip.study.analysis.results import StudyResults
from simclip.study.search.plan import searcher_of
from simclip.study.spec.arms import on_this_machine
from simclip.study.store.records import Record
from simclip.train.config import control_of

#: Maximum number of values on an axis; more are grouped in bands.
MAX_VALUES = 12
#: Number of bands.
BANDS = 6


@dataclass(frozen=True)
class Band:
    """An interval of numbers, both ends included; a single number if the ends are equal."""

    low: float
    high: float

    @property
    def label(self) -> str:
        """The band as text: `16`, or `3 to 12`."""
        return f"{self.low:.4g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Cell:
    """The trials with one k and one p.

    Attributes:
        mean: Mean score.
        difference: Mean difference from controls on the same seed (see `differences_to_controls`); None without any.
        n: Number of trials.
        stopped: Number of trials that ASHA stopped; they are scored on fewer epochs.
    """

    mean: float
    difference: float | None
    n: int
    stopped: int


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Scores by cluster size and proportion, over all seeds and other parameters.

    Attributes:
        title: The trials that the map shows.
        warmup: Whether p warms up in these trials.
        rows: Cluster sizes k in ascending order. All maps of a study have the same rows and columns.
        columns: Values of p in the last epoch, in ascending order.
        cells: Cells by row and column; None where no trial has a score.
        control: Mean score of the controls; None without a scored control.
    """

    title: str
    warmup: bool
    rows: list[Band]
    columns: list[Band]
    cells: list[list[Cell | None]]
    control: float | None


def heat_maps(results: StudyResults) -> list[HeatMap]:
    """Maps of the search's scores by k and p, one for constant p and one for a warm-up of p.

    Cells show the difference from the control, which has no cell of its own. More than twelve values are grouped in
    bands with about equally many values each.

    Returns:
        An empty list if k or p is the same for all arms, because a line shows the other one better.
    """
    trials = results.scored
    arms = [(record, score) for record, score in trials if not record.control]
    rows = bands(record.config.cluster_size for record, _ in arms)
    columns = bands(record.config.final_proportion for record, _ in arms)
    if len(rows) < 2 or len(columns) < 2:
        return []
    plain = [score for record, score in trials if record.control]
    control = statistics.fmean(plain) if plain else None
    differences = differences_to_controls(results)
    maps = []
    for warmup, title in ((False, "p constant"), (True, "p warmed up")):
        shown = [(record, score) for record, score in arms if record.config.warms_up == warmup]
        if not shown:
            continue
        at: dict[tuple[int, int], list[tuple[Record, float]]] = {}
        for record, score in shown:
            place = _index(rows, record.config.cluster_size), _index(columns, record.config.final_proportion)
            at.setdefault(place, []).append((record, score))
        cells = [[_cell(at.get((i, j), []), differences) for j in range(len(columns))] for i in range(len(rows))]
        maps.append(HeatMap(title=title, warmup=warmup, rows=rows, columns=columns, cells=cells, control=control))
    return maps


def bands(values: Iterable[float]) -> list[Band]:
    """The distinct values in ascending order, or disjoint bands of about equally many values if there are many."""
    distinct = sorted(set(values))
    if len(distinct) <= MAX_VALUES:
        return [Band(value, value) for value in distinct]
    return [Band(float(part[0]), float(part[-1])) for part in np.array_split(np.array(distinct), BANDS)]


def differences_to_controls(results: StudyResults) -> dict[str, float]:
    """The difference of each trial's score from a control's on the same seed.

    In a grid that is the control with the same ordinary fields. A random or Optuna search has few controls, at settings
    of their own, so the best of them stands for plain fine-tuning.

    Returns:
        Differences by trial name, without trials whose control has no score.
    """
    trials = results.scored
    if not searcher_of(results.study).exhaustive:
        best = results.control.scores if results.control else {}
        return {record.trial: score - best[record.seed] for record, score in trials if record.seed in best}
    configs = {record.trial: on_this_machine(results.study, record.config) for record, _ in trials}
    controls = {(configs[record.trial].run_key, record.seed): score for record, score in trials if record.control}
    keys = {record.trial: (control_of(configs[record.trial]).run_key, record.seed) for record, _ in trials}
    return {
        record.trial: score - controls[keys[record.trial]] for record, score in trials if keys[record.trial] in controls
    }


def _cell(trials: list[tuple[Record, float]], differences: Mapping[str, float]) -> Cell | None:
    if not trials:
        return None
    shared = [differences[record.trial] for record, _ in trials if record.trial in differences]
    return Cell(
        statistics.fmean(score for _, score in trials),
        statistics.fmean(shared) if shared else None,
        len(trials),
        sum(record.outcome == "stopped" for record, _ in trials),
    )


def _index(axis: list[Band], value: float) -> int:
    return next(i for i, band in enumerate(axis) if band.low <= value <= band.high)
