"""The shape of what a search found: maps of scores by k and p."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from simclip.study.analysis.results import StudyResults
from simclip.study.store.records import Record
from simclip.train.config import control_of

#: More values than this are put together in bands.
MOST_VALUES = 12
BANDS = 6


@dataclass(frozen=True)
class Band:
    """A stretch of numbers, both ends included; one number where they are equal."""

    low: float
    high: float

    @property
    def label(self) -> str:
        """16, or 3 to 12."""
        return f"{self.low:.4g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Cell:
    """The trials of one k and one p.

    Attributes:
        mean: Of their scores.
        difference: Mean difference to their controls (the same ordinary fields and seed); None where none has one.
        n: Trials.
        stopped: How many of them ASHA stopped: their scores are those of a shorter run.
    """

    mean: float
    difference: float | None
    n: int
    stopped: int


@dataclass(frozen=True)
class HeatMap:
    """Scores by cluster size and proportion, over all seeds and other parameters.

    Attributes:
        title: Which trials it is of.
        warmup: Whether p warms up in these trials.
        rows: Cluster sizes k, rising. All maps of a study have the same rows and columns.
        columns: Values of p in the last epoch, rising.
        cells: By row and column; None where no trial has a score.
        control: Mean score of the controls; None where none has one.
    """

    title: str
    warmup: bool
    rows: list[Band]
    columns: list[Band]
    cells: list[list[Cell | None]]
    control: float | None


def heat_maps(results: StudyResults) -> list[HeatMap]:
    """Maps of the search's scores by k and p, without and with a warm-up of p.

    The control is no cell but what the differences are to. Ranges, and more than twelve values, become bands of k and
    p with about equally many values each.

    Returns:
        None where k or p is the same for all arms: a line shows the other one better.
    """
    trials = results.scored
    arms = [(record, score) for record, score in trials if not record.control]
    rows = bands(record.config.cluster_size for record, _ in arms)
    columns = bands(record.config.final_proportion for record, _ in arms)
    if len(rows) < 2 or len(columns) < 2:
        return []
    plain = [score for record, score in trials if record.control]
    differences = to_controls(trials)
    maps = []
    for warmup, title in ((False, "p constant"), (True, "p warmed up")):
        those = [(record, score) for record, score in arms if record.config.warms_up == warmup]
        if not those:
            continue
        at: dict[tuple[int, int], list[tuple[Record, float]]] = {}
        for record, score in those:
            place = _index(rows, record.config.cluster_size), _index(columns, record.config.final_proportion)
            at.setdefault(place, []).append((record, score))
        cells = [[_cell(at.get((i, j), []), differences) for j in range(len(columns))] for i in range(len(rows))]
        maps.append(HeatMap(title, warmup, rows, columns, cells, statistics.fmean(plain) if plain else None))
    return maps


def bands(values: Iterable[float]) -> list[Band]:
    """Each different value, or where they are many, stretches with about equally many of them; rising, disjoint."""
    distinct = sorted(set(values))
    if len(distinct) <= MOST_VALUES:
        return [Band(value, value) for value in distinct]
    return [Band(float(part[0]), float(part[-1])) for part in np.array_split(np.array(distinct), BANDS)]


def to_controls(trials: list[tuple[Record, float]]) -> dict[str, float]:
    """By trial, its score less that of the control with the same ordinary fields and seed, where that has one."""
    controls = {(record.config.run_key, record.seed): score for record, score in trials if record.control}
    keys = {record.trial: (control_of(record.config).run_key, record.seed) for record, _ in trials}
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


def _index(those: list[Band], value: float) -> int:
    return next(i for i, band in enumerate(those) if band.low <= value <= band.high)
