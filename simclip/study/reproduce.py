"""Run a study's best trial again by itself, and compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from simclip.config import Strict, TrainConfig
from simclip.errors import InputError
from simclip.study.config import Resources
from simclip.study.records import Record
from simclip.study.results import mean_metrics
from simclip.study.single import SingleRun, single_run
from simclip.suggest import explain


class Best(Strict):
    """What best.yaml says."""

    trial: str
    study: str
    train: TrainConfig
    resources: Resources
    expect: dict[str, float]


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


def read_best(folder: Path) -> Best:
    """The best configuration of a study's results.

    Raises:
        InputError: There is none, or the file is not as a study writes it.
    """
    path = folder / "best.yaml"
    if not path.is_file():
        raise InputError(f"no such file: {path}; give the results folder of a study with an arm that finished")
    try:
        return Best.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise explain(error, str(path), Best) from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def rerun(best: Best) -> SingleRun:
    """The best trial as a study of its own, with its threads, workers and seed."""
    return single_run(f"{best.study}-reproduced", best.train, best.resources, best.trial.rpartition("-s")[0])


def compare(best: Best, record: Record) -> list[Comparison]:
    """Every metric of the best epoch, before and now."""
    measured: dict[str, Any] = {"epoch": record.best["epoch"], **mean_metrics([record.best])} if record.best else {}
    names = [*best.expect, *(name for name in measured if name not in best.expect)]
    return [Comparison(name, best.expect.get(name), measured.get(name)) for name in names]
