"""python -m tests.calibration: how often verdicts are false, and how often differences are found, as tables.

Run it from the project's folder. With 10,000 studies per case it takes a quarter of an hour; fewer, given with
--studies, take less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tyro

from simclip.study.spec.study import Confirm
from tests.calibration.cases import CASES, MARGINS, Case
from tests.calibration.items import DECIDED, false_verdicts
from tests.calibration.measure import measure, no_difference
from tests.calibration.whole_study import whole_studies

ITEMS = ((3, (3,)), (3, (5,)), (3, (3, 5, 8)))
SEARCHED = (3, [3, 5, 8])


def main(studies: int = 10_000) -> None:
    """Simulate and print all tables in Markdown.

    Args:
        studies: number of simulated studies of each case.
    """
    _header("noise", "arms", "looks", "false", "d", "found", "paired t, Holm", "seeds: nothing differs", "one arm does")
    for case in CASES:
        rates = measure(case, studies)
        false, power, earlier = map(_percent, (rates.false, rates.power, rates.earlier))
        seeds = (f"{each:.1f}" for each in rates.seeds)
        _row(case.noise, case.arms, _looks(case.looks), false, f"{case.effect:g}", power, earlier, *seeds)

    _header("whole studies, search included: arms", "looks", "false")
    for number, seeds in enumerate(SEARCHED):
        words = whole_studies(Confirm(arms=3, seeds=seeds), studies, 0.0, number)
        false = sum(any(word in DECIDED for word in said) for said in words) / studies
        _row(3, _looks(seeds if isinstance(seeds, list) else [seeds]), _percent(false))

    _header("other test items: arms", "looks", "false", "false if items were not covered")
    for arms, looks in ITEMS:
        _row(arms, _looks(looks), *map(_percent, false_verdicts(arms, looks, studies)))

    _header("margin: noise", "arms", "looks", "margin", "false no different", "true no different")
    for case in MARGINS:
        _row(*_margin_cells(case), *map(_percent, no_difference(case, studies)))


def _margin_cells(case: Case) -> Iterable[object]:
    return case.noise, case.arms, _looks(case.looks), f"{case.margin:g}"


def _looks(looks: Sequence[int]) -> str:
    return ", ".join(map(str, looks))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _header(*headings: str) -> None:
    print()
    _row(*headings)
    _row(*("---" for _ in headings))


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
