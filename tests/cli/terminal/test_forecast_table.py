"""What the dry run says about the confirm stage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simclip.cli.terminal.forecast_table import forecast_table
from simclip.study.analysis.confirm import confirm_outlook
from tests.cli.wording.test_arm_settings import SPACE, drawn, forecast


def said(width: int = 1000, **confirm) -> list[str]:
    study = SPACE.model_copy(update={"confirm": SPACE.confirm.model_copy(update=confirm)})
    shown = replace(forecast(), trials=32, cpu_hours=16.0, outlook=confirm_outlook(study, 4))
    return [line.strip() for line in drawn(forecast_table(study, shown), width).splitlines()]


def test_planned_looks_say_what_they_take_on_average_and_the_power_of_each() -> None:
    lines = said(arms=3, seeds=[3, 5, 8], margin="1%")
    (place,) = (number for number, line in enumerate(lines) if line.startswith("Confirm stage"))
    assert lines[place] == "Confirm stage: 3 arms and the control, looks at 3, 5 and 8 seeds; on average it takes"
    assert lines[place + 1].startswith("- 31.9 trials, 8.0 seeds per arm, 16 CPU hours, if nothing differs")
    assert lines[place + 2].startswith("- 31.0 trials, ") and lines[place + 2].endswith(" 80% by 8 seeds")
    assert lines[place + 3] == "- less, if arms turn out to be no different within the margin"


def test_one_look_says_what_it_can_show() -> None:
    assert any(
        line.startswith("Confirm stage: 2 arms and the control, 5 seeds: shows with 80% probability that")
        for line in said(arms=2, seeds=5)
    )


@pytest.mark.parametrize("confirm", [{"arms": 2, "seeds": 2}])
def test_too_few_seeds_for_a_verdict_promise_nothing(confirm) -> None:
    assert not any("Confirm stage" in line for line in said(**confirm))


def test_it_fits_a_narrow_terminal() -> None:
    assert max(map(len, said(60, arms=3, seeds=[3, 5, 8]))) <= 60
