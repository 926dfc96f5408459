"""Importance of the parameters in a random or Optuna search, by Optuna's PED-ANOVA."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from simclip.study.analysis.results import StudyResults
from simclip.study.search.coordinates import coordinates, sets_clusters, varied
from simclip.study.search.plan import searcher_of
from simclip.study.search.suggestions import distribution, label

#: Minimum number of settings.
MIN_SETTINGS = 5
#: With fewer best settings than this, a note warns that a lead may be luck.
FEW_BEST = 10


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The importance of the parameters in a random or Optuna search.

    Attributes:
        evaluator: Optuna's name for the method.
        version: Optuna's version.
        settings: Number of different settings that were compared.
        best: Number of settings that count as the best ones.
        shares: Importance by parameter, the most important first; the shares sum to 1.
        note: A sentence of caution; None if there is no need for one.
    """

    evaluator: str
    version: str
    settings: int
    best: int
    shares: dict[str, float]
    note: str | None


def importances(results: StudyResults) -> Importance | None:
    """The parameters that set the best settings of a random or Optuna search apart from all settings that it tried.

    Uses PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023; Optuna's default): a parameter is important if its values
    among the best settings are distributed differently from its values among all settings. Differences among bad
    settings do not count, nor does the density with which Optuna sampled a region. The method supports conditional
    parameters (since Optuna 5), which fANOVA leaves out: k has no value at p = 0. A linked parameter is one category.

    A setting is an arm, scored by its mean over seeds; suggestions of Optuna that led to the same arm count once.
    Trials that ASHA stopped count with the score they had. The best settings are a tenth of all, but at least five
    (Optuna's advice) unless that is more than half. With few settings the result is noisy: in simulated searches, a
    parameter that decided alone, by one of four values, came first in two of three searches of 60 settings (six best
    ones) and in nearly all searches of 200.

    Returns:
        None for a grid, which plots show better, and for fewer than five settings.
    """
    study = results.study
    space = {name: distribution(parameter) for name, parameter in varied(study).items()}
    settings = _settings(results)
    if searcher_of(study).exhaustive or len(settings) < MIN_SETTINGS:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = optuna.create_study(direction="maximize" if study.mode == "max" else "minimize")
    for point, score in settings:
        known = {name: space[name] for name in point}
        tried.add_trial(optuna.trial.create_trial(params=point, distributions=known, value=score))
    best = min(max(5, math.ceil(len(settings) / 10)), len(settings) // 2)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(best - 0.5) / len(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about few trials; the note says so too
        shares = get_param_importances(
            tried, evaluator=evaluator, params=[name for name in space if any(name in point for point, _ in settings)]
        )
    few = f"With no more than {best} best settings, a lead may be luck." if best < FEW_BEST else None
    return Importance(
        evaluator="PED-ANOVA",
        version=optuna.__version__,
        settings=len(settings),
        best=best,
        shares=shares,
        note=few,
    )


def _settings(results: StudyResults) -> list[tuple[dict[str, Any], float]]:
    """Each arm's values as Optuna's parameters, and its mean score; without controls that lie outside the space."""
    clusters = {name for name, parameter in varied(results.study).items() if sets_clusters(name, parameter)}
    found = []
    for record in {record.arm: record for record, _ in results.scored}.values():
        point = coordinates(results.study, record)
        if not record.control or not clusters or clusters & point.keys():
            plain = {name: label(value) for name, value in point.items()}
            found.append((plain, results.arm_means[record.arm]))
    return found
