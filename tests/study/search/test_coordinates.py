"""Which values a trial stands for."""

from __future__ import annotations

from typing import Any

from simclip.study.search.coordinates import coordinates
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from tests.study.examples import study


def record(control: bool = False, **fields: Any) -> Record:
    config = TrainConfig(batch_size=64, epochs=4, **fields)
    return Record(arm="arm", seed=1, control=control, config=config, history=[])


def test_an_arm_stands_for_its_own_values() -> None:
    space = study(
        {
            "cluster_size": {"min": 2, "max": 8},
            "learning_rate": [None, "1e-5"],
            "crop_scale": [[0.5, 1], [0.8, 1]],
            "schedule": [
                {"proportion": "1/2", "proportion_warmup": False},
                {"proportion": 1, "proportion_warmup": True},
            ],
            "weight_decay": {"value": 0.1},
        },
        searcher="random",
        trials=9,
    )
    arm = record(cluster_size=3, proportion=1.0, proportion_warmup=True, crop_scale=(0.5, 1.0))
    assert coordinates(space, arm) == {
        "cluster_size": 3,
        "learning_rate": None,
        "crop_scale": (0.5, 1.0),
        "schedule": {"proportion": 1.0, "proportion_warmup": True},
    }


def test_a_control_stands_for_what_makes_it_one_and_for_ordinary_values() -> None:
    values = {"cluster_size": [1, 4], "neighborhood": [1, 3], "learning_rate": [1e-5, 1e-4]}
    control = record(control=True, learning_rate=1e-4)
    assert coordinates(study(values), control) == {"cluster_size": 1, "learning_rate": 1e-4}
    assert coordinates(study({**values, "cluster_size": [2, 4]}), control) == {"learning_rate": 1e-4}
    assert coordinates(study({"cluster_size": [2, 4], "proportion": [0, 1]}), control) == {"proportion": 0}
    ranges = {"proportion": {"min": 0.0, "max": 1.0}, "cluster_size": {"min": 2, "max": 9}}
    assert coordinates(study(ranges, searcher="random", trials=2), control) == {"proportion": 0}
    linked = [{"proportion": 0.5, "cluster_size": 4}, {"proportion": 0, "cluster_size": 4}]
    assert coordinates(study({"p": linked}), control) == {"p": linked[1]}


def test_intervals_of_no_warm_up_are_no_values() -> None:
    space = study({"warmup_intervals": [2, 3], "proportion_warmup": [False, True]})
    fixed = record(proportion=1.0, cluster_size=4, warmup_intervals=3)
    assert coordinates(space, fixed) == {"proportion_warmup": False}
    warm = record(proportion=1.0, cluster_size=4, warmup_intervals=3, proportion_warmup=True)
    assert coordinates(space, warm) == {"proportion_warmup": True, "warmup_intervals": 3}
