"""The best arm at an extreme of what was searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simclip.study.analysis.boundary import boundary_warnings
from simclip.study.analysis.results import StudyResults
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from tests.study import examples

Untrained = Callable[..., dict[str, Record]]


def study(parameters: dict[str, Any], **fields: Any) -> StudyConfig:
    return examples.study(parameters, **{**fields, "train": {"proportion": 0.5, **fields.get("train", {})}})


@pytest.mark.parametrize(
    ("field", "values", "best", "end"),
    [
        ("learning_rate", [1e-5, 3e-5, 1e-4], 1e-4, "upper"),
        ("learning_rate", [1e-4, 3e-5, 1e-5], 1e-5, "lower"),
        ("learning_rate", [1e-5, 3e-5, 1e-4], 3e-5, None),
        ("learning_rate", [1e-5, 1e-4], 1e-4, None),  # two values show no trend
        ("learning_rate", [None, 1e-5, 1e-4], 1e-4, None),
        ("cluster_size", [4, 8, 16], 4, "lower"),
        ("cluster_size", [4, 8, 16], 16, "upper"),
        ("cluster_size", [2, 4, 8], 2, None),  # below it is the control
        ("cluster_size", [8, 16, 32], 32, None),  # all clustered rows of a batch
        ("proportion", [0.25, 0.5, 1], 1, None),
        ("proportion", [0.25, 0.5, 1], 0.25, "lower"),
        ("proportion", [0.25, 0.5, 0.75], 0.75, "upper"),
        ("neighborhood", [1, 2, 3], 1, None),
        ("neighborhood", [1, 2, 3], 3, "upper"),
        ("similarity", ["text", "image"], "image", None),
    ],
)
def test_extremes_of_values(untrained: Untrained, field: str, values: list[Any], best: Any, end: str | None) -> None:
    grid = study({field: values}, train={"cluster_size": 4} if field != "cluster_size" else {})

    def score(config: TrainConfig) -> list[float]:
        return [float(getattr(config, field) == best and not config.is_control)]

    assert [
        (each.field, each.value, each.end) for each in boundary_warnings(StudyResults(grid, untrained(grid, score)))
    ] == ([(field, best, end)] if end else [])


@pytest.mark.parametrize(
    ("low", "high", "log", "best", "end"),
    [
        (1e-6, 1e-2, True, 1.4e-6, "lower"),  # 10 ** -5.85: below 5% of four decades
        (1e-6, 1e-2, True, 1.7e-6, None),
        (1e-6, 1e-2, False, 4e-4, "lower"),
        (1e-6, 1e-2, False, 9.6e-3, "upper"),
        (1e-6, 1e-2, False, 9.4e-3, None),
    ],
)
def test_the_outer_twentieth_of_a_range_is_its_end(
    low: float, high: float, log: bool, best: float, end: str | None
) -> None:
    kind = "log_uniform_values" if log else "uniform"
    search = study(
        {"learning_rate": {"min": low, "max": high, "distribution": kind}}, searcher="random", trials=2, mode="min"
    )
    records = {
        str(rate): Record(
            arm=f"lr{rate}",
            seed=1,
            control=False,
            config=TrainConfig(learning_rate=rate, mode="min"),
            history=[{"epoch": 0, "metric": 9.0}, {"epoch": 1, "metric": abs(rate - best)}],
            outcome="finished",
        )
        for rate in (best, 1e-3)
    }
    assert [each.end for each in boundary_warnings(StudyResults(search, records))] == ([end] if end else [])


def test_the_warning_says_what_to_do(untrained: Untrained) -> None:
    grid = study({"cluster_size": [4, 8, 16]})
    (found,) = boundary_warnings(
        StudyResults(grid, untrained(grid, lambda config: [config.cluster_size * config.proportion]))
    )
    assert found.text == (
        "cluster_size = 16 of the best arm, k16, lies at the upper end of what was searched, 4 to 16: "
        "extend it upwards."
    )


def test_a_control_says_nothing_of_cluster_fields(untrained: Untrained) -> None:
    grid = study({"cluster_size": [1, 4, 16], "proportion": [0, 0.5, 0.75], "learning_rate": [1e-5, 1e-4, 1e-3]})
    records = untrained(grid, lambda config: [config.is_control + float(str(config.learning_rate))])
    assert [each.field for each in boundary_warnings(StudyResults(grid, records))] == ["learning_rate"]


def test_linked_fields_have_their_own_ends(untrained: Untrained) -> None:
    linked = [{"cluster_size": k, "epochs": e} for k, e in ((4, 4), (8, 3), (16, 2))]
    grid = study({"pair": linked})
    records = untrained(grid, lambda config: [config.cluster_size * config.proportion] * config.epochs)
    assert [(each.field, each.end) for each in boundary_warnings(StudyResults(grid, records))] == [
        ("cluster_size", "upper"),
        ("epochs", "lower"),
    ]


def test_means_over_seeds_decide_and_nothing_is_said_of_nothing(untrained: Untrained) -> None:
    grid = study({"cluster_size": [4, 8, 16]}, seeds=[1, 2])
    lucky = {(16, 1): 1.0, (16, 2): 0.0, (8, 1): 0.6, (8, 2): 0.6}
    records = untrained(grid, lambda c: [0.0 if c.is_control else lucky.get((c.cluster_size, c.seed), 0.0)])
    assert boundary_warnings(StudyResults(grid, records)) == [] == boundary_warnings(StudyResults(grid, {}))


def test_only_an_arm_that_has_finished_all_of_its_seeds_is_the_best(untrained: Untrained) -> None:
    grid = study({"cluster_size": [4, 8, 16]}, seeds=[1, 2])
    records = untrained(grid, lambda config: [config.cluster_size * config.proportion])
    del records["k16-s2"]
    assert boundary_warnings(StudyResults(grid, records)) == []  # k8, as long as the study runs
