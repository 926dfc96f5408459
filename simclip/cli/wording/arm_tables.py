"""The tables of arms, which a terminal and a report both show: the ranking of the search, and the confirmed arms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simclip.cli.wording.formatting import Metric, main_metrics, p_value
from simclip.cli.wording.table import (
    Cell,
    Column,
    Row,
    Table,
    Tone,
    difference_cell,
    interval_cell,
    metric_cell,
    text_cell,
)
from simclip.evaluation.objective import objective
from simclip.study.analysis.comparison.compare import Difference
from simclip.study.analysis.ranking import ArmResult, base_model_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import paired
from simclip.study.analysis.verdict import ConfirmedArm
from simclip.study.search.plan import searcher_of
from simclip.study.spec.arms import needs_numbers, varied_fields
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.config import CLUSTER_FIELDS, TrainConfig

STAR = Cell("★", tone="good")
VERDICT_TONES: Mapping[str | None, Tone] = {"better": "good", "worse": "bad"}
DEVIATION = "± sd: standard deviation over seeds."
RANDOM = " base model: random weights, mean over seeds."
OWN_CONTROL = "vs own control: to plain fine-tuning with the arm's other settings, where that is not the best control."
THESE_ITEMS = "On these test items: of the difference from the control, over training seeds."
OTHER_ITEMS = (
    "On others like these: of the difference from the control, over training seeds and over draws of other test images "
    "like these; the verdict rests on it where the trials have kept their test items."
)
SEEDS_NEEDED = "Seeds needed: for a new study to detect a true difference of the observed size four times out of five."
#: Rows from which on a page shows a table only when it is opened.
MANY = 30


def search_table(results: StudyResults) -> Table | None:
    """The arms of the search with the best mean first, then the base model; None before any trial has ended."""
    study, records, arms, best = results.study, results.search, results.ranking, results.best
    if not arms:
        return None
    trials = {arm.name: [record for record in records.values() if record.arm == arm.name] for arm in arms}
    seeds = {name: max(len(study.seeds), len(own)) for name, own in trials.items()}
    metric = Metric.of(study.metric)
    others = [each for each in main_metrics(study.train.evaluation_sets) if each.name != metric.name]
    control = results.control.name if results.control and len(arms) > 1 else None
    all_finished = all(record.outcome == "finished" for record in records.values())
    difference = "mean difference on the seeds that both have" if len(study.seeds) > 1 else "difference"
    settings = unnamed_settings(study)
    reference = best_control(sum(arm.control for arm in arms))
    to = f" to {control}" if control and reference != "vs control" else ""
    columns = [
        Column("arm", min_width=14),
        *setting_columns(settings),
        Column("seeds", right=True, priority=3),
        Column(metric.heading, right=True),
        Column("± \nsd", right=True, priority=2, note=DEVIATION),
        Column(_broken(reference), right=True, priority=1, note=f"{reference}: {difference}{to}{_unit(metric)}."),
        Column("vs own \ncontrol", right=True, priority=2, note=OWN_CONTROL),
        *(Column(each.heading, right=True, priority=5 + place) for place, each in enumerate(others)),
        Column("best \nepoch", right=True, priority=4),
        Column("ended", priority=5 + len(others)),
    ]

    def own_difference(arm: ArmResult) -> float | None:
        own = results.own_controls.get(arm.name)
        return paired(arm.scores, own.scores).spread.mean if own else None

    def row(arm: ArmResult) -> Row:
        is_best = best is not None and arm.name == best.arm.name
        cells = [
            text_cell(arm.name),
            *setting_cells(trials[arm.name][0].config, settings),
            _seeds(len(arm.scores), seeds[arm.name]) if max(seeds.values()) > 1 else Cell(),
            metric_cell(metric, arm.mean),
            metric_cell(metric, arm.std),
            Cell("reference", None, "dim") if arm.name == control else difference_cell(metric, arm.difference),
            difference_cell(metric, own_difference(arm)),
            *(metric_cell(each, arm.metrics.get(each.name)) for each in others),
            _best_epochs(trials[arm.name]),
            Cell() if all_finished else _outcomes(trials[arm.name]),
        ]
        return Row(cells, _mark(trials[arm.name], is_best), "bold" if is_best else "")

    base = base_model_metrics(records)
    values = {metric.heading: metric_cell(metric, base.get("metric"))}
    values |= {each.heading: metric_cell(each, base.get(each.name)) for each in others}
    return Table(
        columns,
        [*map(row, arms), _base_row(columns, values)],
        "arms",
        "Arms of the search",
        " ".join(_search_caption(study)),
        len(arms) >= MANY,
    ).without_empty_columns()


def confirm_table(results: StudyResults) -> Table | None:
    """The confirmed arms with the best mean first, then the base model; None before the stage has a result."""
    study, verdict, best = results.study, results.verdict, results.best
    if verdict is None:
        return None
    metric = Metric.of(verdict.metric)
    others = [each for each in main_metrics([*study.test, *study.train.evaluation_sets]) if each.name != metric.name]
    settings = unnamed_settings(study)
    first, *rest = confirm_columns(metric, metric.heading, lowest=5 + len(others))
    columns = [
        first,
        *setting_columns(settings),
        *rest,
        *(Column(each.heading, right=True, priority=5 + place) for place, each in enumerate(others)),
    ]

    def row(arm: ConfirmedArm) -> Row:
        name, *cells = confirm_cells(results, arm)
        config = next(record.config for record in results.confirm.values() if record.arm == arm.name)
        cells = [name, *setting_cells(config, settings), *cells]
        cells += [metric_cell(each, arm.metrics.get(each.name)) for each in others]
        if best is None or arm.name != best.arm.name:
            return Row(cells)
        return Row(cells, STAR if best.stage == "confirm" else Cell(), "bold")

    base = base_model_metrics(results.confirm)
    values = {metric.heading: metric_cell(metric, objective(verdict.metric, base) if base else None)}
    values |= {each.heading: metric_cell(each, base.get(each.name)) for each in others}
    return Table(
        columns,
        [*map(row, verdict.arms), _base_row(columns, values)],
        "confirmed",
        "Confirmed arms",
        "Confirm stage: means over fresh seeds, at each trial's best validation epoch, measured on "
        f"{'the test sets' if verdict.on_test else 'validation data'}.{RANDOM if study.train.pretrain else ''}",
    ).without_empty_columns()


def unnamed_settings(study: StudyConfig) -> list[str]:
    """The training fields that arms differ in and that their names, such as arm-07, do not tell."""
    return varied_fields(study) if needs_numbers(study) and not searcher_of(study).exhaustive else []


def setting_columns(fields: Sequence[str]) -> list[Column]:
    """A column per field of `unnamed_settings`."""
    return [Column(TrainConfig.traits(field).label, right=True, priority=3) for field in fields]


def setting_cells(config: TrainConfig, fields: Sequence[str]) -> list[Cell]:
    """The values of an arm in the columns of `setting_columns`; empty for clusters of a control."""
    return [_setting(config, field) for field in fields]


def settings_text(config: TrainConfig, fields: Sequence[str]) -> str:
    """The values of an arm in one piece, such as "k8 p0.5 lr0.0003"."""
    named = [(TrainConfig.traits(field).symbol, _setting(config, field).text) for field in fields]
    return " ".join(f"{symbol if isinstance(symbol, str) else ''}{text}" for symbol, text in named if str(text))


def confirm_columns(metric: Metric, mean_heading: str, lowest: int = 5) -> list[Column]:
    """The columns of a confirmed arm.

    Args:
        metric: The metric that is confirmed.
        mean_heading: Heading of the column of means.
        lowest: Priority of the columns that matter least.
    """
    return [
        Column("arm", min_width=14),
        Column("seeds", right=True, priority=4),
        Column(mean_heading, right=True),
        Column("± \nsd", right=True, priority=3, note=DEVIATION),
        Column("95% interval \nof mean", right=True, priority=lowest + 1),
        Column(
            "vs \ncontrol", right=True, priority=1, note=f"vs control: difference on the same seeds{_unit(metric)}."
        ),
        Column("95% interval on \nthese test items", right=True, priority=3, note=THESE_ITEMS),
        Column("95% interval on \nothers like these", right=True, priority=2, note=OTHER_ITEMS),
        Column(
            "p", right=True, priority=2, note="Intervals of differences and p hold for all arms together (Dunnett)."
        ),
        Column("verdict", priority=1),
        Column("seeds \nneeded", right=True, priority=lowest, note=SEEDS_NEEDED),
    ]


def confirm_cells(results: StudyResults, arm: ConfirmedArm) -> list[Cell]:
    """A confirmed arm in the columns of `confirm_columns`."""
    study, own = results.study, arm.spread
    metric = Metric.of(study.confirmed_metric)
    covered = results.verdict is not None and results.verdict.covers_items
    return [
        text_cell(arm.name),
        _seeds(own.n, own.n if arm.complete else len(study.confirm_seeds)),
        metric_cell(metric, own.mean),
        metric_cell(metric, own.std),
        interval_cell(metric.bare(own.low), metric.bare(own.high), own.low, own.high),
        difference_cell(metric, arm.gain),
        _interval(metric, arm.on_these_items),
        _interval(metric, arm.difference) if covered or not arm.difference else Cell("not covered", None, "dim"),
        Cell(p_value(arm.p), arm.p),
        Cell(arm.word or ("reference" if arm.control else "no verdict"), arm.word, VERDICT_TONES.get(arm.word, "")),
        Cell("" if arm.pairs_needed is None else f"{arm.pairs_needed:,}", arm.pairs_needed),
    ]


def _interval(metric: Metric, difference: Difference | None) -> Cell:
    low, high = (difference.low, difference.high) if difference else (None, None)
    return interval_cell(metric.difference(low), metric.difference(high), low, high)


def best_control(controls: int) -> str:
    """What differences are to, given the number of controls."""
    return "vs best control" if controls > 1 else "vs control"


def _broken(heading: str) -> str:
    """A heading in two lines."""
    return " \n".join(heading.rsplit(" ", 1))


def _base_row(columns: Sequence[Column], values: Mapping[str, Cell]) -> Row:
    """The last row: the base model's metrics, by the columns' headings."""
    cells = [values.get(column.heading, Cell()) for column in columns[1:]]
    return Row([text_cell("base model"), *cells], tone="dim", separate=True)


def _setting(config: TrainConfig, field: str) -> Cell:
    if config.is_control and field in CLUSTER_FIELDS:
        return Cell()
    value = getattr(config, field)
    return Cell(f"{value:.3g}" if isinstance(value, float) else "default" if value is None else str(value), value)


def _seeds(scored: int, wanted: int) -> Cell:
    return Cell(str(wanted) if scored == wanted else f"{scored} of {wanted}", scored)


def _best_epochs(records: Sequence[Record]) -> Cell:
    epochs = sorted({record.best["epoch"] for record in records if record.best})
    return text_cell("" if not epochs else str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]}-{epochs[-1]}")


def _outcomes(records: Sequence[Record]) -> Cell:
    outcomes = [record.outcome for record in records]
    said = [f"{number} {each}" for each in ("finished", "stopped", "failed") if (number := outcomes.count(each))]
    return text_cell(", ".join(said), "" if {*outcomes} <= {"finished"} else "warn")


def _mark(records: Sequence[Record], is_best: bool) -> Cell:
    outcomes = {record.outcome for record in records}
    if "failed" in outcomes:
        return Cell("✗", tone="bad")
    if "stopped" in outcomes:
        return Cell("■", tone="dim")
    return STAR if is_best else Cell()


def _search_caption(study: StudyConfig) -> Iterator[str]:
    if isinstance(study.metric, dict):
        yield f"objective: weighted mean, {' + '.join(f'{weight:g} {name}' for name, weight in study.metric.items())}."
    order = "" if study.mode == "max" else "; lower is better"
    random = RANDOM if study.train.pretrain else ""
    yield f"{'Means over seeds, at' if len(study.seeds) > 1 else 'At'} each trial's best epoch{order}.{random}"


def _unit(metric: Metric) -> str:
    return ", in percentage points" if metric.percent else ""
