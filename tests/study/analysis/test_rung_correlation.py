"""Rungs as Ray's ASHA has them, and rank correlations as scipy has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.runtime.randomness import generator
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.rung_correlation import correlate_rungs, rung_epochs
from simclip.study.search.under_tune import scheduler
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig

Untrained = Callable[..., dict[str, Record]]


def study(epochs: int = 9, **fields: Any) -> StudyConfig:
    train = {"batch_size": 64, "epochs": epochs, "proportion": 0.5, **fields.pop("train", {})}
    parameters = fields.pop("parameters", {"cluster_size": {"values": list(range(2, 12))}})
    return StudyConfig(name="s", train=train, parameters=parameters, **{"scheduler": "asha", **fields})


@given(st.integers(1, 60), st.integers(1, 9), st.sampled_from([1.5, 2, 2.5, 3, 4]), st.integers(1, 3))
def test_rungs_are_where_ray_decides(epochs: int, grace: int, factor: float, intervals: int) -> None:
    asha = study(
        epochs,
        asha={"grace_period": grace, "reduction_factor": factor},
        train={"proportion_warmup": intervals > 1, "warmup_intervals": intervals},
    )
    ours = rung_epochs(asha)
    ray = scheduler(asha)
    milestones = [] if ray is None else sorted(milestone for milestone, _ in ray._brackets[0]._rungs)
    # A rung counts from the first epoch that is not before it; one at the end decides nothing.
    first = [next(epoch for epoch in range(epochs + 2) if epoch >= each) for each in milestones]
    assert ours == [epoch for epoch, milestone in zip(first, milestones, strict=True) if milestone < epochs]


def test_a_rank_correlation_for_each_rung(untrained: Untrained) -> None:
    asha = study(9, asha={"grace_period": 1, "reduction_factor": 3})

    def curve(config: TrainConfig) -> list[float]:
        """Worst first after one epoch, at random after two, as at the end from the third."""
        final = 0.0 if config.is_control else float(config.cluster_size)
        middle = float(generator(1, "middle", config.cluster_size).random())
        return [-final, middle, *[final + 0.1 * epoch for epoch in range(7)]]

    records = untrained(asha, curve)
    first, second = correlate_rungs(StudyResults(asha, records))
    assert (first.epoch, first.n, first.correlation) == (1, 11, pytest.approx(-1))
    assert (second.epoch, second.n, second.correlation) == (3, 11, pytest.approx(1))
    third = correlate_rungs(
        StudyResults(asha.model_copy(update={"asha": asha.asha.model_copy(update={"grace_period": 2})}), records)
    )[0]
    assert third.epoch == 2 and third.correlation is not None and abs(third.correlation) < 1

    best = sorted(records, key=lambda name: records[name].score or 0)[-6:]
    stopped = {name: replace(each, outcome="stopped", history=each.history[:2]) for name, each in records.items()}
    survivors = stopped | {name: records[name] for name in best}
    assert [rung.n for rung in correlate_rungs(StudyResults(asha, survivors))] == [6, 6]
    few = {n: r for n, r in survivors.items() if n not in best[:2]}
    assert correlate_rungs(StudyResults(asha, few)) == []


def test_equal_metrics_have_no_ranks(untrained: Untrained) -> None:
    asha = study(4, asha={"grace_period": 1, "reduction_factor": 2})
    records = untrained(asha, lambda config: [0.5, float("nan"), 0.1, float(config.cluster_size)])
    assert [(rung.epoch, rung.correlation) for rung in correlate_rungs(StudyResults(asha, records))] == [(1, None)]


def test_there_are_no_rungs_without_asha(untrained: Untrained) -> None:
    plain = study(9, scheduler="none")
    assert correlate_rungs(StudyResults(plain, untrained(plain, lambda config: [0.1] * 9))) == []
    short = study(3)  # of which its grace period leaves nothing to save
    assert rung_epochs(short) == []
    optuna = study(9, searcher="optuna", trials=4, asha={"grace_period": 3, "reduction_factor": 2})
    assert rung_epochs(optuna) == [3, 6]
