"""Made-up records of trials that were never run."""

from __future__ import annotations

from simclip.study.store.records import Outcome, Record
from simclip.train.config import TrainConfig
from simclip.train.history import Row


def history(*metrics: float) -> list[Row]:
    return [{"epoch": epoch, "metric": each, "val/mean_r1": each, "seconds": 1.0} for epoch, each in enumerate(metrics)]


def record(
    arm: str, seed: int, *metrics: float, outcome: Outcome | None = "finished", mode: str = "max", control: bool = False
) -> Record:
    config = TrainConfig(epochs=2, seed=seed, mode=mode)
    return Record(
        arm=arm,
        seed=seed,
        control=control or arm.startswith("control"),
        config=config,
        history=history(*metrics),
        stage="search" if seed < 1000 else "confirm",
        outcome=outcome,
        seconds=3.5,
    )


def by_name(*records: Record) -> dict[str, Record]:
    return {each.trial: each for each in records}
