"""Maps of k by p, against means worked out trial by trial."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.study.analysis.heat_map import Band, bands, heat_maps
from simclip.study.analysis.results import StudyResults
from simclip.study.store.records import Record
from tests.study.examples import noise, study

Untrained = Callable[..., dict[str, Record]]


def test_cells_are_means_over_everything_else(untrained: Untrained) -> None:
    space = {
        "cluster_size": [1, 4, 8], "proportion": [0, 0.5, 1], "proportion_warmup": [False, True],
        "neighborhood": [1, 3], "learning_rate": [1e-5, 1e-4],
    }  # fmt: skip
    grid = study(space, seeds=[1, 2])
    records = untrained(grid, noise)
    controls = {(r.config.learning_rate, r.seed): noise(r.config)[0] for r in records.values() if r.control}
    assert len(controls) == 4
    maps = heat_maps(StudyResults(grid, records))
    assert [(each.title, each.warmup) for each in maps] == [("p constant", False), ("p warmed up", True)]
    for each in maps:
        assert [band.label for band in each.rows] == ["4", "8"]
        assert [band.label for band in each.columns] == ["0.5", "1"]
        assert each.control == pytest.approx(statistics.fmean(controls.values()))
        for (i, k), (j, p) in itertools.product(enumerate([4, 8]), enumerate([0.5, 1])):
            those = [
                r for r in records.values()
                if (r.config.cluster_size, r.config.proportion, r.config.proportion_warmup) == (k, p, each.warmup)
            ]  # fmt: skip
            scores = [noise(r.config)[0] for r in those]
            gains = [noise(r.config)[0] - controls[r.config.learning_rate, r.seed] for r in those]
            cell = each.cells[i][j]
            assert cell is not None
            assert (cell.n, cell.stopped, len(those)) == (8, 0, 8)
            assert cell.mean == pytest.approx(statistics.fmean(scores))
            assert cell.difference == pytest.approx(statistics.fmean(gains))


def test_a_map_shows_what_there_is(untrained: Untrained) -> None:
    grid = study({"cluster_size": [4, 8], "proportion": [0.5, 1]}, seeds=[1, 2])
    records = untrained(grid, lambda config: [config.cluster_size * config.proportion])
    del records["k4-p0.5-s1"], records["k4-p0.5-s2"], records["control-s2"]
    records["k8-p1-s1"] = replace(records["k8-p1-s1"], outcome="stopped")
    records["k8-p0.5-s1"] = replace(records["k8-p0.5-s1"], outcome="failed")
    records["k8-p0.5-s1000"] = replace(records["k8-p0.5-s2"], seed=1000, stage="confirm")
    (found,) = heat_maps(StudyResults(grid, records))
    missing, other = found.cells[0]
    without_control, stopped = found.cells[1]
    assert missing is None
    assert other is not None and (other.mean, other.difference, other.n, other.stopped) == (4, 4, 2, 0)
    assert without_control is not None and (without_control.n, without_control.difference) == (1, None)
    assert stopped is not None and (stopped.mean, stopped.n, stopped.stopped) == (8, 2, 1)
    assert found.control == 0


def test_there_is_no_map_of_a_line(untrained: Untrained) -> None:
    for space in ({"cluster_size": [1, 4, 8]}, {"proportion": [0, 0.5, 1], "cluster_size": [4]}, {}):
        line = study(space, train={"proportion": 0.5})
        assert heat_maps(StudyResults(line, untrained(line, noise))) == []
        assert heat_maps(StudyResults(line, {})) == []


def test_the_papers_two_schedules_are_two_maps_on_the_same_axes(untrained: Untrained) -> None:
    schedules = [{"proportion": 0.5, "proportion_warmup": False}, {"proportion": 1, "proportion_warmup": True}]
    grid = study({"cluster_size": [2, 4, 8], "schedule": schedules})
    constant, warm = heat_maps(StudyResults(grid, untrained(grid, noise)))
    assert constant.columns == warm.columns == [Band(0.5, 0.5), Band(1, 1)]
    assert all(half is not None and full is None for half, full in constant.cells)
    assert all(half is None and full is not None for half, full in warm.cells)


def test_ranges_become_bands_that_hold_every_arm_once(untrained: Untrained) -> None:
    space = {"cluster_size": {"min": 2, "max": 30}, "proportion": {"min": 0.5, "max": 1.0}}
    search = study(space, searcher="random", trials=41)
    records = untrained(search, noise)
    (found,) = heat_maps(StudyResults(search, records))
    assert (len(found.rows), len(found.columns)) == (6, 6)
    assert sum(cell.n for row in found.cells for cell in row if cell) == 40
    for i, row in enumerate(found.rows):
        those = [r for r in records.values() if not r.control and row.low <= r.config.cluster_size <= row.high]
        assert sum(cell.n for cell in found.cells[i] if cell) == len(those)


@given(st.lists(st.integers(-50, 50) | st.floats(-1, 1), min_size=1))
def test_bands_part_the_values(values: list[float]) -> None:
    found = bands(values)
    ends = [end for band in found for end in (band.low, band.high)]
    assert ends == sorted(ends)
    assert len(found) <= 12
    assert all(sum(band.low <= value <= band.high for band in found) == 1 for value in values)
    assert {band.low for band in found} | {band.high for band in found} <= set(values)
