"""What a study ends with: the ranked arms, and the lines below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simclip.cli.terminal.fitting_table import Column, FittingTable
from simclip.cli.wording.formatting import Metric, counted, main_metrics, reason
from simclip.cli.wording.verdict import sentences
from simclip.study.analysis.ranking import ArmResult, base_model_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record


def ranking(results: StudyResults) -> RenderableType:
    """The search's arms with the best mean first, then the untouched model, and a legend.

    It takes any width: columns that matter less go first.
    """
    if not results.ranking:
        return Text("No trial has ended yet.")
    table = FittingTable(_columns(results), sections=[len(results.ranking) - 1])
    return Group(table, Text(), *_legend(results))


def _columns(results: StudyResults) -> list[Column]:
    study, records, arms, best = results.study, results.search, results.ranking, results.search_best
    metric = Metric.of(study.metric)
    others = [each for each in main_metrics(study.train.evaluation_sets) if each.name != metric.name]
    base_model = base_model_metrics(records)
    control = results.control.name if results.control else None
    styles = ["bold" if best and arm.name == best.name else "" for arm in arms]

    def column(title: str, cells: list[str], last: str, rank: int, least: int | None = None) -> Column:
        texts = [Text(cell, style) for cell, style in zip([*cells, last], [*styles, "dim"], strict=True)]
        return Column(title, texts, rank, least, right=title != "arm")

    differences = ["reference" if arm.name == control else metric.difference(arm.difference) for arm in arms]
    if len(arms) == 1:
        differences = [""]
    deviations = [metric.bare(arm.std) for arm in arms]
    seeds = [_seeds(arm, results) for arm in arms]
    columns = [
        Column("", [*(_mark(arm, records, best) for arm in arms), Text()]),
        column("arm", [arm.name for arm in arms], "untouched model", 0, least=15),
        column("seeds", seeds, "", 3),
        column(metric.stacked, [metric.bare(arm.mean) for arm in arms], metric.bare(base_model.get("metric")), 0),
        column("±", deviations, "", 2),
        column("vs\ncontrol", differences, "", 1),
        *(
            column(each.stacked, [each.bare(arm.metrics.get(each.name)) for arm in arms],
                   each.bare(base_model.get(each.name)), 5 + number)
            for number, each in enumerate(others)
        ),
        column("best\nepoch", [_epochs(arm, records) for arm in arms], "", 4),
    ]  # fmt: skip
    needless = {"±": not any(deviations), "seeds": {*seeds} == {"1"}, "vs\ncontrol": not any(differences)}
    return [each for each in columns if not needless.get(each.title)]


def _of(arm: ArmResult, records: Mapping[str, Record]) -> list[Record]:
    return [record for record in records.values() if record.arm == arm.name]


def _mark(arm: ArmResult, records: Mapping[str, Record], best: ArmResult | None) -> Text:
    outcomes = [record.outcome for record in _of(arm, records)]
    if "failed" in outcomes:
        return Text("✗", "red")
    if "stopped" in outcomes:
        return Text("■", "dim")
    return Text("★", "green") if best and arm.name == best.name else Text()


def _seeds(arm: ArmResult, results: StudyResults) -> str:
    wanted = max(len(results.study.seeds), len(_of(arm, results.search)))
    return str(wanted) if len(arm.scores) == wanted else f"{len(arm.scores)} of {wanted}"


def _epochs(arm: ArmResult, records: Mapping[str, Record]) -> str:
    epochs = [record.best["epoch"] for record in _of(arm, records) if record.best]
    return "" if not epochs else str(epochs[0]) if len({*epochs}) == 1 else f"{min(epochs)}-{max(epochs)}"


def _legend(results: StudyResults) -> Iterator[Text]:
    study, records, arms = results.study, results.search, results.ranking
    metric = Metric.of(study.metric)
    order = "" if study.mode == "max" else ", lower is better"
    unit = ", in percentage points" if metric.percent else ""
    if isinstance(study.metric, dict):
        parts = " + ".join(f"{weight:g} {name}" for name, weight in study.metric.items())
        yield Text(f"objective: weighted mean, {parts}{order}", "dim")
    if len(arms) == 1:
        yield Text(f"At the best epoch{order}.", "dim")
    elif len(study.seeds) > 1:
        yield Text(
            f"Means over seeds at each trial's best epoch{order}; ± standard deviation over seeds; vs control: mean "
            f"difference on the seeds that both have{unit}.",
            "dim",
        )
    else:
        yield Text(f"At each trial's best epoch{order}; vs control: difference{unit}.", "dim")
    for arm in arms:
        failed = [record for record in _of(arm, records) if record.outcome == "failed"]
        if failed:
            seeds = ", ".join(str(record.seed) for record in failed)
            line = Text("✗ ", "red", no_wrap=True, overflow="ellipsis")
            yield line.append(f"{arm.name}: failed on seed {seeds}: {reason(failed[0])}", "default")
    if stopped := sum(record.outcome == "stopped" for record in records.values()):
        yield Text(f"■ {counted(stopped, 'trial')} stopped early by the scheduler: scored on fewer epochs", "dim")


def closing(results: StudyResults, folder: StudyFolder, command: str, report: str | None = None) -> RenderableType:
    """The verdict and how far to believe it, where everything lies, and the trials that failed.

    Args:
        results: The results.
        folder: The study's results.
        command: That reproduces the best arm.
        report: The page, if there is one.
    """
    best = results.best
    places = Table.grid(padding=(0, 2, 0, 0))
    places.add_column(no_wrap=True)
    places.add_column(overflow="fold")
    places.add_row("Results", Text(folder.place()))
    if report:
        places.add_row("Report", Text(report))
    if best:
        places.add_row("Best model", Text(f"{folder.place(folder.best.name)}  ({best.record.trial})"))
        places.add_row("Reproduce it", Text(command))
    failed = [record for record in results.ended.values() if record.outcome == "failed"]
    first, *others = sentences(results)
    said = [Text(first, "bold"), *(Text(each) for each in others)]
    return Group(*said, Text(), places, *_failures(failed, folder))


def _failures(failed: list[Record], folder: StudyFolder) -> Iterator[Text]:
    if failed:
        yield Text(f"\n{counted(len(failed), 'trial')} failed:", "red")
    for record in failed:
        yield Text(f"  {record.trial}: {reason(record)}", overflow="fold")
        yield Text(f"    {folder.place('logs', record.trial)}.log", overflow="fold")
