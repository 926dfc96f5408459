"""The verdict in words, as a terminal and a report say it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.console import Console

from simclip.cli.terminal.outcome import confirmation
from simclip.cli.wording.arm_tables import confirm_table, search_table
from simclip.cli.wording.table import Table
from simclip.cli.wording.verdict import before_confirming, headline, sentences
from simclip.study.analysis.results import StudyResults
from simclip.study.search.plan import planned_arms
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import Confirm
from simclip.study.store.records import Record

SEARCH = {"control": [0.40, 0.42], "k4": [0.45, 0.47], "k8": [0.39, 0.41]}

Recorded = Callable[..., StudyResults]


@pytest.fixture
def recorded(make_study) -> Recorded:
    """A study of two seeds and its results: the search's, and the confirm stage's as given by arm."""

    def make(seeds: int = 3, **confirmed: list[float]) -> StudyResults:
        study = make_study(seeds=[1, 2], confirm=Confirm(arms=2, seeds=seeds))
        arms = {arm.name: arm for arm in planned_arms(study)}
        scores = [(name, seed, score) for name, those in SEARCH.items() for seed, score in enumerate(those, 1)]
        scores += [(name, seed, score) for name, those in confirmed.items() for seed, score in enumerate(those, 1000)]
        records = {}
        for name, seed, score in scores:
            row = {"metric": score, "val/mean_r1": score, "rare/top1": 0.5}
            rows = [{"epoch": 0, **dict.fromkeys(row, 0.2)}, {"epoch": 1, **row}]
            trial = Trial(arms[name], seed, "search" if seed < 1000 else "confirm")
            records[trial.name] = Record.of(trial, rows, outcome="finished", seconds=1.0)
        return StudyResults(study, records)

    return make


def table(results: StudyResults, width: int = 160) -> list[list[str]]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(confirmation(results))
    return [line.split() for line in console.export_text().splitlines()]


def test_before_confirming(recorded: Recorded) -> None:
    results = recorded(5)
    said = before_confirming(results)
    assert said.startswith("Confirming k4, k8 against control on 5 fresh seeds: can detect a difference of about 0.0 ")
    results = recorded(2)
    assert before_confirming(results).endswith("too few for a verdict, which takes at least 3")


def test_better(recorded: Recorded) -> None:
    results = recorded(control=[0.40, 0.42, 0.44], k4=[0.50, 0.521, 0.542], k8=[0.40, 0.43, 0.42])
    said = sentences(results)
    assert said[0] == "Clusters help: k4 is better than plain fine-tuning by +10.1 points val/mean_r1 on 3 fresh seeds."
    assert said[1].startswith("k4: better than plain fine-tuning, +10.1 points (+7.7 to +12.5, 3 seeds), p <0.001.")
    assert "k8: undecided, -0.3 points" in said[2]
    assert "a new study would detect a difference of that size with about" in said[2]
    assert "cover training seeds alone" in said[3]
    assert said[4].startswith(
        "Each arm's pairs alone (paired t tests with Holm's correction) would say: k4 better (p <0"
    )
    assert "optimistic" in said[5]
    rows = table(results)
    shown = ["52.1", "2.1", "46.9", "to", "57.3", "+10.1", "+7.7", "to", "+12.5", "not", "covered", "<0.001", "better"]
    assert any(row[:16] == ["★", "k4", "3", *shown] and row[-1] == "50.0" for row in rows)
    assert ["base", "model", "20.0", "20.0"] in rows


def test_both_tables_mark_the_same_arm_as_best(recorded: Recorded) -> None:
    def marked(found: Table | None) -> list[str]:
        assert found is not None
        return [str(row.cells[0].text) for row in found.rows if row.mark.text == "★" or row.tone == "bold"]

    results = recorded()
    assert marked(search_table(results)) == ["k4"]
    results = recorded(control=[0.50, 0.52, 0.54], k4=[0.40, 0.42, 0.44], k8=[0.30, 0.32, 0.34])
    assert marked(search_table(results)) == marked(confirm_table(results)) == ["control"]


def test_worse(recorded: Recorded) -> None:
    results = recorded(control=[0.50, 0.52, 0.54], k4=[0.40, 0.421, 0.442], k8=[0.30, 0.321, 0.342])
    assert headline(results) == (
        "Clusters do not help: all 2 confirmed arms are worse than plain fine-tuning in val/mean_r1 on 3 fresh seeds."
    )


def test_undecided(recorded: Recorded) -> None:
    results = recorded(control=[0.40, 0.50, 0.44], k4=[0.45, 0.43, 0.50], k8=[0.40, 0.43, 0.42])
    assert headline(results) == (
        "No arm with clusters is shown to be better than plain fine-tuning in val/mean_r1 on 3 fresh seeds; k4 has the "
        "best mean, 46.0%."
    )


def test_arms_with_hard_negatives_in_the_loss_alone_have_no_clusters(make_study) -> None:
    study = make_study(
        parameters={"method": {"values": [{"proportion": p, "hardness": h} for p, h in ((0.5, 0), (0, 0.25))]}},
        confirm=Confirm(arms=2, seeds=3),
    )
    records = {}
    for arm in planned_arms(study):
        for seed in (1, 1000, 1001, 1002):
            score = 0.4 + 0.001 * (seed * len(arm.name) % 5) + (0.1 if "p0-hard" in arm.name else 0.0)
            row = {"metric": score, "val/mean_r1": score}
            trial = Trial(arm, seed, "search" if seed < 1000 else "confirm")
            records[trial.name] = Record.of(
                trial, [{"epoch": 0, **row}, {"epoch": 1, **row}], outcome="finished", seconds=1.0
            )
    said = headline(StudyResults(study, records))
    assert said.startswith("Hard negatives help: ") and "hard0.25 is better than plain fine-tuning by +9.9" in said


def test_no_verdict_on_two_seeds(recorded: Recorded) -> None:
    results = recorded(2, control=[0.40, 0.42], k4=[0.50, 0.55], k8=[0.40, 0.43])
    assert headline(results).startswith("No verdict: 2 confirm seeds, but a verdict takes at least 3.")
    assert any("k4: +11.5 points" in line and "no verdict" in line for line in sentences(results))


def test_an_unfinished_confirm_stage_says_so(recorded: Recorded) -> None:
    results = recorded(control=[0.40, 0.42, 0.44], k4=[0.50, 0.55])
    said = sentences(results)
    assert said[0].startswith("Best arm of the search: k4, val/mean_r1 46.0%")
    assert said[1].startswith("The confirm stage has not ended")


def test_any_width_is_enough(recorded: Recorded) -> None:
    results = recorded(control=[0.40, 0.42, 0.44], k4=[0.50, 0.521, 0.542], k8=[0.40, 0.43, 0.42])
    for width in (40, 60, 80, 120):
        assert any("k4" in row for row in table(results, width))
