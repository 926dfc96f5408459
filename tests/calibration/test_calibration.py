"""The calibration at a size that runs in seconds: a case of each kind of noise, as `python -m tests.calibration`."""

from __future__ import annotations

import math

import pytest

from tests.calibration.cases import CASES, CONTROL, MARGINS, Case
from tests.calibration.items import false_verdicts
from tests.calibration.measure import measure, no_difference

STUDIES = 2000


def few(share: float, studies: int = STUDIES) -> bool:
    """Whether a share is at most 5%, but for sampling error."""
    return share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def kinds() -> list[Case]:
    """One case of each kind of noise and number of looks, that of most arms or, where trials fail, of few."""
    order = sorted(CASES, key=lambda case: case.arms * (-1 if case.failing else 1))
    return [*{(case.noise, len(case.looks)): case for case in order}.values()]


@pytest.mark.parametrize("case", kinds(), ids=lambda case: f"{case.noise}, {case.arms} arms, looks {case.looks}")
def test_at_most_5_percent_are_false_and_more_is_found_than_by_pairs_alone(case: Case) -> None:
    rates = measure(case, STUDIES // 5 if case.failing else STUDIES)
    assert few(rates.false, STUDIES // 5 if case.failing else STUDIES)
    if case.twice != CONTROL:
        assert rates.power > rates.earlier
    assert rates.seeds[1] <= rates.seeds[0] <= case.looks[-1]


@pytest.mark.parametrize("case", MARGINS[:4], ids=lambda case: f"{case.arms} arms, looks {case.looks}")
def test_a_difference_of_the_margin_is_hardly_ever_called_none(case: Case) -> None:
    false, true = no_difference(case, STUDIES)
    assert few(false) and true > false


def test_other_test_items_are_covered() -> None:
    covered, alone = false_verdicts(3, (5,), 400)
    assert few(covered, 400) and alone > 0.1
