"""How much each parameter of a random or Optuna search decided, by Optuna."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from simclip.study.analysis.results import StudyResults
from simclip.study.search.coordinates import coordinates, sets_clusters, varied
from simclip.study.search.optuna import distribution, label

#: Of fewer settings nothing is said; of fewer best ones, that a lead may be luck.
LEAST_SETTINGS = 5
FEW_BEST = 10


@dataclass(frozen=True)
class Importance:
    """What the parameters of a random or Optuna search decided.

    Attributes:
        evaluator: Optuna's name of the method.
        version: Of Optuna.
        settings: How many different settings it is worked out from.
        best: How many of them count as the best ones.
        shares: By parameter, the most important first; they add up to 1.
        note: What to keep in mind, as a sentence; None where there is nothing.
    """

    evaluator: str
    version: str
    settings: int
    best: int
    shares: dict[str, float]
    note: str | None


def importances(results: StudyResults) -> Importance | None:
    """What sets the best settings of a random or Optuna search apart from all that it tried.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023; Optuna's default): a parameter is important if its values
    among the best settings are spread unlike those among all of them. Where Optuna itself looked more often does not
    count as importance, nor does a difference among bad settings. It is defined for conditional parameters (Optuna 5),
    which these are: at p = 0 there is no k, and k counts as far as it matters where clusters are made. fANOVA would
    leave such parameters out. A linked parameter is one category.

    One setting is one arm, its score the mean over its seeds; Optuna's suggestions that came to the same arm count
    once. What ASHA stopped counts with the score that it had by then. The best are a tenth, and at least five (as
    Optuna advises) if that is not more than half. How six best ones of 60 are spread is much luck: a parameter that
    alone decided, but by one of four values, was found first in two of three such searches, and nearly always in those
    of 200.

    Returns:
        None for a grid, which is there to be looked at, and for fewer than five settings.
    """
    study = results.study
    space = {name: distribution(parameter) for name, parameter in varied(study).items()}
    settings = _settings(results)
    if study.searcher == "grid" or len(settings) < LEAST_SETTINGS:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = optuna.create_study(direction="maximize" if study.mode == "max" else "minimize")
    for point, score in settings:
        known = {name: space[name] for name in point}
        tried.add_trial(optuna.trial.create_trial(params=point, distributions=known, value=score))
    best = min(max(5, math.ceil(len(settings) / 10)), len(settings) // 2)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(best - 0.5) / len(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that few trials are few, which the note says
        shares = get_param_importances(
            tried, evaluator=evaluator, params=[name for name in space if any(name in point for point, _ in settings)]
        )
    few = f"With no more than {best} best settings, a lead may be luck." if best < FEW_BEST else None
    return Importance("PED-ANOVA", optuna.__version__, len(settings), best, shares, few)


def _settings(results: StudyResults) -> list[tuple[dict[str, Any], float]]:
    """Each arm as Optuna's parameters, and its score; without controls that the space itself does not hold."""
    clusters = {name for name, parameter in varied(results.study).items() if sets_clusters(name, parameter)}
    found = []
    for record in {record.arm: record for record, _ in results.scored}.values():
        point = coordinates(results.study, record)
        if not record.control or not clusters or clusters & point.keys():
            plain = {name: label(value) for name, value in point.items()}
            found.append((plain, results.arm_means[record.arm]))
    return found
