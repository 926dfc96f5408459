"""Whether ASHA's early look at the trials foretold their end."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import spearmanr

from simclip.study.analysis.results import StudyResults
from simclip.study.search.asha import first_rung, scheduler
from simclip.study.spec.arms import foreseen_arms
from simclip.study.spec.study import StudyConfig

#: Of fewer trials no correlation is given.
LEAST_TRIALS = 5


@dataclass(frozen=True)
class Rung:
    """One of the epochs at which ASHA decides.

    Attributes:
        epoch: How many are finished by then.
        n: Trials that finished, controls among them. Those that ASHA stopped have no end to compare with; that only
            such survivors count tends to lower the correlation.
        correlation: Spearman's rank correlation of the metric after that epoch, by which ASHA decides, with the final
            score; in [-1, 1]; None where either is the same for all.
    """

    epoch: int
    n: int
    correlation: float | None


def rungs(results: StudyResults) -> list[Rung]:
    """How well each rung's ranking agrees with the final one, among the trials that finished.

    Returns:
        By rising epoch; without the last epoch. Empty where ASHA is off, or with fewer than five finished trials.
    """
    ended = [(record, score) for record, score in results.scored if record.outcome == "finished"]
    found = []
    for epoch in rung_epochs(results.study):
        pairs = [(row["metric"], score) for record, score in ended for row in record.history if row["epoch"] == epoch]
        pairs = [pair for pair in pairs if math.isfinite(pair[0])]
        if len(pairs) >= LEAST_TRIALS:
            found.append(Rung(epoch, len(pairs), _correlation(pairs)))
    return found


def rung_epochs(study: StudyConfig) -> list[int]:
    """The epochs after which ASHA decides whether a trial goes on; none where it is off.

    grace * reduction_factor^i, rounded up; grace is at least the warm-up of p.
    """
    if scheduler(study)[0] is None:
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
