"""What is on record about models between the base model and those of the confirm stage, and what it says."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from simclip.errors import InputError
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.rescore import dropped_arms, one_look
from simclip.study.analysis.results import StudyResults
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.records import Record, read_all
from simclip.train.config import TrainConfig

#: What decides the scores of a model, beside the fields that say what a run reads.
SCORING = ("precision", "threads", "val_batch_size", "embed_batch_size", "data_workers")


def key_of(config: TrainConfig) -> str:
    """A key that runs share if they begin with the same model and score models alike."""
    return config.model_dump_json(include={*SCORING, *TrainConfig.fields_with("reads_data")})


def alpha_folder(folder: StudyFolder, alpha: float) -> Path:
    """The folder of the records of an alpha."""
    return folder.path / layout.INTERPOLATED / f"{alpha:g}"


def confirmed_trials(results: StudyResults) -> dict[str, Record]:
    """The finished trials of the confirm stage, by name."""
    evidence = results.evidence
    return {record.trial: record for own in evidence.by_arm.values() for record in own} if evidence else {}


def read_points(folder: StudyFolder, results: StudyResults) -> dict[float, dict[str, Record]]:
    """The records of interpolated models by alpha and trial; those of an earlier run of a trial are left out."""
    trials = confirmed_trials(results)
    return {
        float(each.name): {
            name: record
            for name, record in read_all(each).items()
            if record.outcome and name in trials and record.started == trials[name].started
        }
        for each in sorted((folder.path / layout.INTERPOLATED).glob("*/"))
    }


def trials_to_interpolate(folder: StudyFolder, results: StudyResults) -> dict[str, Record]:
    """The trials whose models can be interpolated.

    Raises:
        InputError: The study has no such trials, or they began with random weights.
    """
    place = folder.place()
    if results.study.confirm is None:
        raise InputError(
            f"{place}: the study has no confirm stage, whose models are interpolated: run it again with e.g. "
            "confirm={arms: 2, seeds: 5, keep_models: all}"
        )
    trials = confirmed_trials(results)
    if not trials:
        raise InputError(f"{place}: no trial of the confirm stage has finished yet: run the study to its end")
    for name, record in trials.items():
        if record.config.pretrain:
            raise InputError(f"{place}: {name} began with random weights (pretrain): there is no base model to keep to")
    return trials


def check_kept(folder: StudyFolder, trials: Sequence[str]) -> None:
    """Refuse trials whose models are not there.

    Raises:
        InputError: Some are not; says how to keep them.
    """
    kept = {*folder.storage.folders(layout.MODELS)}
    if missing := [name for name in trials if name not in kept]:
        raise InputError(
            f"{folder.place(layout.MODELS)}: the models of {len(missing)} of {len(trials)} trials were not kept, e.g. "
            f"{missing[0]}: move the records of these trials ({layout.TRIALS}/{missing[0]}.jsonl) elsewhere, and run "
            "the study again with confirm.keep_models=all"
        )


def missing_points(
    folder: StudyFolder, results: StudyResults, trials: dict[str, Record], alphas: Sequence[float]
) -> dict[str, list[float]]:
    """The alphas that are not on record yet, by trial; runs that begin alike come one after the other."""
    known = read_points(folder, results)
    missing = {name: [alpha for alpha in alphas if name not in known.get(alpha, {})] for name in trials}
    order = sorted(missing, key=lambda name: key_of(trials[name].config))
    return {name: missing[name] for name in order if missing[name]}


@dataclass(frozen=True)
class Interpolation:
    """The confirmed arms at every alpha: 0 is the base model, 1 the trained one.

    Attributes:
        folder: The study's results.
        results: What they say without interpolation.
        points: The records by alpha and trial, of the alphas that all finished trials of the confirm stage have.
    """

    folder: StudyFolder
    results: StudyResults
    points: Mapping[float, Mapping[str, Record]]

    @classmethod
    def read(cls, folder: StudyFolder, results: StudyResults | None = None) -> Interpolation | None:
        """Read what is on record; None if nothing is, or too little to choose an alpha."""
        results = results or StudyResults.read(folder)
        trials = confirmed_trials(results)
        found = {alpha: own for alpha, own in read_points(folder, results).items() if own.keys() >= trials.keys()}
        return cls(folder, results, dict(sorted(found.items()))) if trials and {0.0, 1.0} <= found.keys() else None

    @cached_property
    def arms(self) -> dict[str, list[str]]:
        """The names of the trials by arm, the control first."""
        evidence = self.results.evidence
        assert evidence is not None
        order = sorted(evidence.by_arm, key=lambda name: name != evidence.control)
        return {name: [record.trial for record in evidence.by_arm[name]] for name in order}

    @property
    def control(self) -> str:
        """The name of the control."""
        return next(iter(self.arms))

    @cached_property
    def chosen(self) -> dict[str, float]:
        """The alpha of each arm with the best mean of the study's metric on validation data; the largest of equals."""
        sign = 1 if self.results.study.mode == "max" else -1
        return {arm: max(self.points, key=lambda alpha: (sign * self._score(arm, alpha), alpha)) for arm in self.arms}

    @cached_property
    def judged(self) -> StudyResults:
        """The results as if every confirmed trial had ended with the model at its arm's alpha, looked at once."""
        records = {name: record for name, record in self.results.records.items() if record.stage == "search"}
        for arm, trials in self.arms.items():
            records |= {name: self.points[self.chosen[arm]][name] for name in trials}
        folders = {arm: alpha_folder(self.folder, alpha) for arm, alpha in self.chosen.items()}
        items = ItemFiles(self.folder.trials, folders)
        return StudyResults(one_look(self.results.study), records, items, dropped=dropped_arms(self.results))

    def values(self, arm: str, metric: str) -> list[list[float]]:
        """A metric of each of an arm's trials, a list over alpha per trial."""
        return [[(self.points[alpha][name].best or {})[metric] for alpha in self.points] for name in self.arms[arm]]

    def means(self, arm: str, alpha: float) -> dict[str, float]:
        """The mean of every metric over an arm's trials at an alpha."""
        return mean_metrics([self.points[alpha][name].best or {} for name in self.arms[arm]])

    @cached_property
    def deviation(self) -> float:
        """The largest difference of a metric at alpha 0 and 1 from what the trials have recorded of these models."""
        trials = confirmed_trials(self.results)
        pairs = [(self.points[0.0][name], trial.history[0]) for name, trial in trials.items()]
        pairs += [(self.points[1.0][name], trial.best or {}) for name, trial in trials.items()]
        return max(
            abs(value - recorded[metric])
            for point, recorded in pairs
            for metric, value in mean_metrics([point.best or {}]).items()
        )

    def _score(self, arm: str, alpha: float) -> float:
        return statistics.fmean((self.points[alpha][name].best or {})["metric"] for name in self.arms[arm])
