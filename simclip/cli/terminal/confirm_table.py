"""The confirm stage as a table: each arm against the control, on seeds that the search did not see."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from simclip.cli.terminal.fitting_table import Column, FittingTable
from simclip.cli.wording.formatting import Metric, main_metrics, p_value
from simclip.evaluation.objective import objective
from simclip.study.analysis.ranking import base_model_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import Spread
from simclip.study.analysis.verdict import ConfirmedArm

STYLES = {"better": "green", "worse": "red"}


def confirmation(results: StudyResults) -> RenderableType | None:
    """The confirmed arms with the best mean first, then the untouched model; None before any has a figure.

    It takes any width: columns that matter less go first.
    """
    study, verdict, best = results.study, results.verdict, results.best
    if verdict is None:
        return None
    arms, metric = verdict.arms, Metric.of(verdict.metric)
    base_model = base_model_metrics(results.confirm)
    others = [each for each in main_metrics([*study.test, *study.train.evaluation_sets]) if each.name != metric.name]

    def column(title: str, cells: list[str], last: str, rank: int, least: int | None = None) -> Column:
        styles = ["bold" if best and arm.name == best.arm.name else "" for arm in arms]
        texts = [Text(cell, style) for cell, style in zip([*cells, last], [*styles, "dim"], strict=True)]
        return Column(title, texts, rank, least, right=title != "arm")

    marks = ["★" if best and best.stage == "confirm" and arm.name == best.arm.name else "" for arm in arms]
    words = [
        Text(arm.word or ("reference" if arm.control else "no verdict"), STYLES.get(arm.word or "", "")) for arm in arms
    ]
    columns = [
        Column("", [*(Text(mark, "green") for mark in marks), Text()]),
        column("arm", [arm.name for arm in arms], "untouched model", 0, least=15),
        column("seeds", [_seeds(len(study.confirm_seeds), arm) for arm in arms], "", 4),
        column(metric.stacked, [metric.bare(arm.spread.mean) for arm in arms],
               metric.bare(_objective(verdict.metric, base_model)), 0),
        column("±", [metric.bare(arm.spread.std) for arm in arms], "", 3),
        column("vs\ncontrol", [metric.difference(_pair(arm).mean) for arm in arms], "", 1),
        column("95% interval", [_interval(metric, arm) for arm in arms], "", 2),
        column("p", [p_value(arm.p) for arm in arms], "", 2),
        Column("verdict", [*words, Text()], 1),
        *(
            column(each.stacked, [each.bare(arm.metrics.get(each.name)) for arm in arms],
                   each.bare(base_model.get(each.name)), 5 + number)
            for number, each in enumerate(others)
        ),
    ]  # fmt: skip
    where = "on the test sets" if verdict.on_test else "on validation data"
    unit = ", in percentage points" if metric.percent else ""
    legend = (
        f"Confirm stage, fresh seeds, {where}: means at each trial's best validation epoch; vs control: mean paired "
        f"difference with its 95% t interval{unit}; p: paired t test, corrected for all arms (Holm)."
    )
    return Group(FittingTable(columns, sections=[len(arms) - 1]), Text(), Text(legend, "dim"))


def _seeds(wanted: int, arm: ConfirmedArm) -> str:
    return str(wanted) if arm.complete else f"{arm.spread.n} of {wanted}"


def _word(arm: ConfirmedArm) -> str:
    return arm.word or ("reference" if arm.control else "no verdict")


def _pair(arm: ConfirmedArm) -> Spread:
    return arm.paired.spread if arm.paired else Spread(0)


def _interval(metric: Metric, arm: ConfirmedArm) -> str:
    pair = _pair(arm)
    return "" if pair.low is None else f"{metric.difference(pair.low)} to {metric.difference(pair.high)}"


def _objective(metric: str | dict[str, float], scores: Mapping[str, float]) -> float | None:
    return objective(metric, scores) if scores else None
