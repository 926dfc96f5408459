"""best.yaml: the best configuration of a study, with everything that is needed to run it again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from simclip.config.explain import explain, hint
from simclip.config.schema import Strict
from simclip.errors import InputError
from simclip.study.analysis.ranking import ArmResult, mean_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import Spread
from simclip.study.analysis.verdict import ConfirmedArm
from simclip.study.spec.arms import Stage
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.study import Resources, StudyConfig
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig


class Confirmed(Strict):
    """The confirmed metric of an arm, summarized over the seeds of the confirm stage."""

    metric: str | dict[str, float]
    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None

    @property
    def spread(self) -> Spread:
        """The summary without the metric's name."""
        return Spread(self.n, self.mean, self.std, self.low, self.high)


class Best(Strict):
    """The content of best.yaml: a trial, how it ran, and the metrics to expect.

    Attributes:
        trial: Name of the trial.
        study: Name of the study.
        stage: Stage in which the trial's arm was found best: the search, until the confirm stage has ended.
        train: Training configuration.
        resources: Resources of the trial.
        expect: The trial's metrics at its best epoch, and that epoch.
        confirmed: The arm's confirmed metric, once the confirm stage has ended.
    """

    trial: str
    study: str
    stage: Stage
    train: TrainConfig
    resources: Resources
    expect: dict[str, float]
    confirmed: Confirmed | None = None


def describe_trial(
    study: StudyConfig, record: Record, stage: Stage, arm: ArmResult | ConfirmedArm | None = None
) -> Best:
    """Describe a scored trial as in best.yaml, with the confirmed metric if its arm was confirmed."""
    assert record.best is not None
    confirmed = None
    if isinstance(arm, ConfirmedArm) and arm.spread.mean is not None:
        confirmed = Confirmed(metric=study.confirmed_metric, **asdict(arm.spread))
    return Best(
        trial=record.trial,
        study=study.name,
        stage=stage,
        train=record.config,
        resources=study.resources,
        expect={"epoch": record.best["epoch"], **mean_metrics([record.best])},
        confirmed=confirmed,
    )


def read_trial(folder: StudyFolder, name: str) -> Best:
    """Describe any ended trial of a study's results, by name.

    Raises:
        InputError: No trial of that name has ended, or it has no score.
    """
    results = StudyResults.read(folder)
    if name not in results.ended:
        raise InputError(f"{folder.place()}: no trial {name!r} has ended there; {hint(name, results.ended)}")
    record, verdict = results.ended[name], results.verdict
    if record.best is None:
        raise InputError(f"{folder.place()}: trial {name} {record.outcome} and has no score to compare with")
    arm = next((arm for arm in verdict.arms if arm.name == record.arm), None) if verdict else None
    return describe_trial(results.study, record, record.stage, arm)


def read_best(folder: Path) -> Best:
    """Read best.yaml.

    Args:
        folder: Folder of the results.

    Raises:
        InputError: The file does not exist, or it is not valid.
    """
    path = folder / layout.BEST
    if not path.is_file():
        raise InputError(f"no such file: {path}; give the results folder of a study with an arm that finished")
    try:
        return Best.model_validate(read_mapping(path))
    except ValidationError as error:
        raise explain(error, str(path), Best) from None
