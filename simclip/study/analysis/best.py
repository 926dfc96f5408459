"""The single best configuration of a study, and best.yaml, which holds all that running it again takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from simclip.config.explain import explain, hint
from simclip.config.schema import Strict
from simclip.config.training import TrainConfig
from simclip.errors import InputError
from simclip.study.analysis.confirm import search_records
from simclip.study.analysis.ranking import ArmResult, best_arm, mean_metrics
from simclip.study.analysis.statistics import Spread
from simclip.study.analysis.verdict import ConfirmedArm, judge
from simclip.study.spec.arms import Stage
from simclip.study.spec.portable_paths import local
from simclip.study.spec.study import FIRST_CONFIRM_SEED, Resources, StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_records


class Confirmed(Strict):
    """What the confirm stage measured of an arm: one metric over fresh seeds."""

    metric: str | dict[str, float]
    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None

    @property
    def spread(self) -> Spread:
        """The figures alone."""
        return Spread(self.n, self.mean, self.std, self.low, self.high)


class Best(Strict):
    """What best.yaml says: a trial, how it ran, and what to expect of it.

    `stage` is that in which its arm was found best: before the confirm stage has ended, the search's best stands here.
    """

    trial: str
    study: str
    stage: Stage
    train: TrainConfig
    resources: Resources
    expect: dict[str, float]
    confirmed: Confirmed | None = None


@dataclass(frozen=True)
class Choice:
    """The best arm, the stage that found it, and the trial that stands for it: its first seed's, never its luckiest."""

    arm: ArmResult | ConfirmedArm
    stage: Stage
    record: Record


def choose(study: StudyConfig, records: Mapping[str, Record]) -> Choice | None:
    """The arm with the best confirmed mean, control included; until all is confirmed, the one with the search's best.

    None while no arm has finished all of its seeds.
    """
    verdict = judge(study, records)
    if verdict and verdict.complete and verdict.best:
        confirmed = next(arm for arm in verdict.arms if arm.name == verdict.best)
        return Choice(confirmed, "confirm", records[f"{confirmed.name}-s{FIRST_CONFIRM_SEED}"])
    found = best_arm(search_records(study, records), len(study.seeds))
    return Choice(found, "search", records[f"{found.name}-s{study.seeds[0]}"]) if found else None


def describe_trial(
    study: StudyConfig, record: Record, stage: Stage, arm: ArmResult | ConfirmedArm | None = None
) -> Best:
    """A trial that has a score, as best.yaml has it, with what was confirmed of its arm."""
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
    """Any trial of a study's results.

    Raises:
        InputError: There is none of that name, or it has no score.
    """
    study, records = folder.study(), read_records(folder.trials)
    if name not in records:
        raise InputError(f"{folder.path}: no trial {name!r} has ended there; {hint(name, records)}")
    record, verdict = records[name], judge(study, records)
    if record.best is None:
        raise InputError(f"{folder.path}: trial {name} {record.outcome} and has no score to compare with")
    arm = next((arm for arm in verdict.arms if arm.name == record.arm), None) if verdict else None
    return describe_trial(study, record, record.stage, arm)


def read_best(folder: Path) -> Best:
    """The best configuration of a study's results.

    Raises:
        InputError: There is none, or the file is not as a study writes it.
    """
    path = folder / "best.yaml"
    if not path.is_file():
        raise InputError(f"no such file: {path}; give the results folder of a study with an arm that finished")
    try:
        return Best.model_validate(local(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except ValidationError as error:
        raise explain(error, str(path), Best) from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
