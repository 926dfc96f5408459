"""Lines over parameters, against means worked out by pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from simclip.study.analysis.parameter_effects import ParameterEffect, parameter_effects
from simclip.study.analysis.results import StudyResults
from simclip.study.store.records import Record
from tests.study.examples import noise, study

Untrained = Callable[..., dict[str, Record]]


def shape(effect: ParameterEffect) -> dict[str, list[float]]:
    return {line.name: [point.x for point in line.points] for line in effect.lines}


def test_points_are_means_over_arms_and_spread_over_seeds(untrained: Untrained) -> None:
    space = {"cluster_size": [2, 4, 8], "proportion": [0.5, 1], "proportion_warmup": [False, True],
             "neighborhood": [1, 3]}  # fmt: skip
    grid = study(space, seeds=[1, 2, 3])
    records = untrained(grid, noise)
    table = pd.DataFrame([{**r.config.model_dump(), "control": r.control, "score": r.score} for r in records.values()])
    by_name = {each.parameter: each for each in parameter_effects(StudyResults(grid, records))}
    assert list(by_name) == list(space)

    k = by_name["cluster_size"]
    assert (k.scale, k.joined) == ("log", True)
    schedules = ["p = 0.5, constant", "p = 1, constant", "p = 0.5, warmed up", "p = 1, warmed up"]
    assert list(shape(k).items()) == [(schedule, [1, 2, 4, 8]) for schedule in schedules]
    for line, p, warm in zip(k.lines, [0.5, 1, 0.5, 1], [False, False, True, True], strict=True):
        for point in line.points:
            is_there = (table.cluster_size == point.x) & (table.proportion == p) & (table.proportion_warmup == warm)
            by_seed = table[table.control if point.x == 1 else is_there].groupby("seed").score.mean()
            assert point.mean == pytest.approx(by_seed.mean())
            assert point.std == pytest.approx(by_seed.std())
            assert (point.seeds, point.trials) == (3, 3 if point.x == 1 else 6)
            assert point.label == str(int(point.x))
    assert k.control is not None and k.control.mean == k.lines[0].points[0].mean

    p = by_name["proportion"]
    assert shape(p) == {"p constant": [0, 0.5, 1], "p warmed up": [0, 0.5, 1]}
    assert p.scale == "linear"
    assert shape(by_name["proportion_warmup"]) == {"p = 0.5": [0, 1], "p = 1": [0, 1]}
    assert [point.label for point in by_name["proportion_warmup"].lines[0].points] == ["fixed", "warm"]
    assert list(shape(by_name["neighborhood"]).values()) == [[1, 3]] * 4


def test_a_line_that_is_not_whole_is_not_split(untrained: Untrained) -> None:
    grid = study({"cluster_size": [4, 8], "proportion": [0.5, 1]})
    records = untrained(grid, noise)
    assert [len(shape(each)) for each in parameter_effects(StudyResults(grid, records))] == [2, 1]
    del records["k8-p1-s1"]
    assert [shape(each) for each in parameter_effects(StudyResults(grid, records))] == [
        {"": [1, 4, 8]},
        {"": [0, 0.5, 1]},
    ]


def test_an_ordinary_field_has_a_line_of_its_controls(untrained: Untrained) -> None:
    grid = study({"learning_rate": ["1e-5", "1e-4", "1e-3"], "cluster_size": [4, 8]}, train={"proportion": 0.5})
    rate, _ = parameter_effects(
        StudyResults(grid, untrained(grid, lambda config: [config.learning_rate * config.cluster_size]))
    )
    assert (rate.scale, rate.joined) == ("log", True)
    assert shape(rate) == {"with clusters": [1e-5, 1e-4, 1e-3], "plain fine-tuning": [1e-5, 1e-4, 1e-3]}
    assert [point.mean for point in rate.lines[0].points] == pytest.approx([6e-5, 6e-4, 6e-3])
    assert [point.mean for point in rate.lines[1].points] == pytest.approx([16e-5, 16e-4, 16e-3])  # k's default is 16


def test_plain_fine_tuning_alone_has_one_line(untrained: Untrained) -> None:
    grid = study({"learning_rate": [1e-5, 1e-4]})
    (rate,) = parameter_effects(StudyResults(grid, untrained(grid, noise)))
    assert shape(rate) == {"": [1e-5, 1e-4]}


def test_categories_and_linked_fields_stand_in_the_files_order(untrained: Untrained) -> None:
    schedules = [
        {"proportion": 1, "proportion_warmup": True, "warmup_intervals": 3},
        {"proportion": 0.5, "proportion_warmup": False, "warmup_intervals": 3},
    ]
    grid = study({"schedule": schedules, "similarity": ["text", "image"], "learning_rate": [None, 1e-4]})
    schedule, similarity, rate = parameter_effects(StudyResults(grid, untrained(grid, noise)))
    assert (schedule.parameter, schedule.scale, schedule.joined) == ("schedule", "category", False)
    assert [(point.x, point.label) for point in schedule.lines[0].points] == [(0, "p1-warm"), (1, "p0.5-fixed")]
    assert [point.label for point in similarity.lines[0].points] == ["text", "image"]
    assert [point.label for point in rate.lines[0].points] == ["lrdefault", "lr0.0001"]


def test_draws_from_a_range_are_dots(untrained: Untrained) -> None:
    space = {"learning_rate": {"min": 1e-6, "max": 1e-3, "distribution": "log_uniform_values"},
             "proportion": {"min": 0.25, "max": 1.0}, "cluster_size": [2, 4, 8]}  # fmt: skip
    search = study(space, searcher="random", trials=12)
    rate, p, k = parameter_effects(StudyResults(search, untrained(search, noise)))
    assert (rate.scale, rate.joined, p.scale, p.joined, k.scale, k.joined) == (
        "log", False, "linear", False, "log", True,
    )  # fmt: skip
    assert [len(line.points) for line in rate.lines] == [9, 3]
    assert len(p.lines[0].points) == 1 + 9
    assert len(k.lines) == 1


@pytest.mark.parametrize(
    ("parameter", "scale"),
    [
        ({"values": [8, 2, 4]}, "log"),
        ({"values": [4, 16]}, "log"),  # with the control at 1
        ({"values": [2, 3, 4]}, "linear"),
        ({"min": 2, "max": 9}, "linear"),
        ({"min": 2, "max": 9, "distribution": "log_uniform_values"}, "log"),
    ],
)
def test_the_scale_fits_the_values(untrained: Untrained, parameter: dict[str, Any], scale: str) -> None:
    if "distribution" in parameter:
        search = study({"weight_decay": parameter}, searcher="random", trials=4)
    else:
        search = study({"cluster_size": parameter}, train={"proportion": 0.5})
    (found,) = parameter_effects(StudyResults(search, untrained(search, noise)))
    assert found.scale == scale


def test_nothing_is_said_of_less_than_two_values(untrained: Untrained) -> None:
    grid = study({"neighborhood": [1, 3], "cluster_size": [4]}, train={"proportion": 0.5})
    records = untrained(grid, noise)
    assert len(parameter_effects(StudyResults(grid, records))) == 1
    records["nb3-s1"] = replace(records["nb3-s1"], outcome="failed")
    assert parameter_effects(StudyResults(grid, records)) == [] == parameter_effects(StudyResults(grid, {}))
