"""How well the early rungs of ASHA predict final scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import spearmanr

from simclip.study.analysis.results import StudyResults
from simclip.study.search.asha import first_rung, uses_asha
from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.study import StudyConfig

#: Minimum number of trials for a correlation.
MIN_TRIALS = 5


@dataclass(frozen=True)
class RungCorrelation:
    """How well the metric at one rung, an epoch at which ASHA stops trials, predicts the final score.

    Attributes:
        epoch: Number of finished epochs at the rung.
        n: Number of finished trials, controls included. Stopped trials have no final score; their absence tends to
            lower the correlation.
        correlation: Spearman's rank correlation between the metric after that epoch and the final score, in [-1, 1];
            None if either is the same for all trials.
    """

    epoch: int
    n: int
    correlation: float | None


def correlate_rungs(results: StudyResults) -> list[RungCorrelation]:
    """The rank correlation between the metric at each rung and the final score, over the finished trials.

    Returns:
        One entry per rung in ascending order, without the last epoch. Empty without ASHA, or with fewer than five
        finished trials.
    """
    ended = [(record, score) for record, score in results.scored if record.outcome == "finished"]
    found = []
    for epoch in rung_epochs(results.study):
        pairs = [(row["metric"], score) for record, score in ended for row in record.history if row["epoch"] == epoch]
        pairs = [pair for pair in pairs if math.isfinite(pair[0])]
        if len(pairs) >= MIN_TRIALS:
            found.append(RungCorrelation(epoch, len(pairs), _correlation(pairs)))
    return found


def rung_epochs(study: StudyConfig) -> list[int]:
    """The epochs after which ASHA decides whether a trial continues; empty without ASHA.

    These are grace * reduction_factor^i, rounded up; the grace period is at least the warm-up of p.
    """
    if not uses_asha(study):
        return []
    arms = foreseen_arms(study)
    last = max(arm.config.epochs for arm in arms)
    reached = float(first_rung(study, arms))
    epochs = []
    while reached < last:
        epochs.append(math.ceil(reached))
        reached *= study.asha.reduction_factor
    return epochs


def _correlation(pairs: list[tuple[float, float]]) -> float | None:
    early, final = zip(*pairs, strict=True)
    if len(set(early)) == 1 or len(set(final)) == 1:
        return None
    return float(spearmanr(early, final).statistic)
