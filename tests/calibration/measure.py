"""How often simulated studies are right and wrong: by the project's own decisions, and by paired t tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simclip.study.analysis.comparison.planning import Ends, take_looks
from simclip.study.analysis.comparison.two_way import Table
from simclip.study.analysis.statistics import ALPHA, MIN_PAIRS, holm
from tests.calibration.cases import CONTROL, FIRST, Case

#: Studies of which the same trials fail.
BLOCKS = 100


@dataclass(frozen=True)
class Rates:
    """Shares of the studies of a case.

    Attributes:
        false: With a false better or worse of any arm, if nothing differs.
        power: In which the first arm's difference is found.
        earlier: In which paired t tests with Holm's correction find it, on the seeds of the last look.
        seeds: Mean number of seeds of an arm, if nothing differs and if the first arm does.
    """

    false: float
    power: float
    earlier: float
    seeds: tuple[float, float]


def measure(case: Case, studies: int) -> Rates:
    """Simulate a case without any difference, and with one."""
    blocks = min(BLOCKS, studies) if case.failing else 1
    none: list[Ends] = []
    one: list[Ends] = []
    earlier: list[np.ndarray] = []
    for block in range(blocks):
        none.append(_ends(case, case.scores(studies // blocks, block, 0.0)))
        scores = case.scores(studies // blocks, block, case.effect)
        one.append(_ends(case, scores))
        earlier.append(_found_by_pairs(scores))
    return Rates(
        false=_mean([np.isin(each.words, ["better", "worse"]).any(0) for each in none]),
        power=_mean([each.words[0] == "better" for each in one]),
        earlier=_mean(earlier),
        seeds=(_mean([each.seeds.mean(0) for each in none]), _mean([each.seeds.mean(0) for each in one])),
    )


def no_difference(case: Case, studies: int) -> tuple[float, float]:
    """How often the first arm is said to be no different: falsely, if it differs by the margin; truly, if it does not.

    A true difference is half as often positive as negative, so that both ends of the interval are tested.
    """
    found = []
    for effect in (case.margin, -(case.margin or 0.0), 0.0):
        ends = _ends(case, case.scores(studies, 0, effect or 0.0))
        found.append(float((ends.words[0] == "no different").mean()))
    return max(found[:2]), found[2]


def _ends(case: Case, scores: Table) -> Ends:
    return take_looks(scores, CONTROL, case.looks, "max", case.margin)


def _found_by_pairs(scores: Table) -> np.ndarray:
    """Whether paired t tests with Holm's correction say that the first arm is better, bool (studies,)."""
    ps, better = [], None
    for name in [each for each in scores if each != CONTROL]:
        seeds = [seed for seed in scores[name] if seed in scores[CONTROL]]
        if len(seeds) < MIN_PAIRS:
            continue
        test = stats.ttest_rel(*(np.array([scores[arm][seed] for seed in seeds]) for arm in (name, CONTROL)))
        ps.append(test.pvalue)
        if name == FIRST:
            better = test.statistic > 0
    if better is None:
        return np.zeros(len(next(iter(scores[CONTROL].values()))), bool)
    corrected = np.apply_along_axis(holm, 0, np.array(ps))
    return (corrected[0] < ALPHA) & better


def _mean(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())
