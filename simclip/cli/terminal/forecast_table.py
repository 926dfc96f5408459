"""What `--dry-run` prints: the forecast of a study as a table and a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from simclip.cli.terminal.fitting_table import FittingTable
from simclip.cli.wording.arm_tables import setting_cells, setting_columns, unnamed_settings
from simclip.cli.wording.formatting import counted, duration
from simclip.cli.wording.table import Column, Row, Table, text_cell
from simclip.study.analysis.comparison.planning import Prospect
from simclip.study.execution.forecast import Forecast
from simclip.study.search.plan import searcher_of
from simclip.study.spec.study import StudyConfig


def forecast_table(study: StudyConfig, forecast: Forecast) -> RenderableType:
    """The time per trial of each arm, and the time, memory and disk space that the study needs."""
    searcher = searcher_of(study)
    trials = str(len(study.seeds)) if searcher.plans_ahead else ""
    settings = unnamed_settings(study) if searcher.plans_ahead else []  # the extremes of a space have their own names
    table = Table(
        [
            Column("arm", min_width=14),
            *setting_columns(settings),
            Column("trials", right=True, priority=2),
            Column("time per \ntrial", right=True, priority=1),
            Column("rows seen per \nepoch, at most", right=True, priority=2),
        ],
        [
            Row([text_cell(arm.name), *setting_cells(arm.config, settings), *map(text_cell, texts)])
            for arm, *texts in (
                (arm, trials, duration(each), f"{forecast.costs.rows_seen(arm.config):.0%}")
                for arm, each in forecast.arms
            )
        ],
    )
    drawn = FittingTable(table.without_empty_columns())
    return Group(drawn, Text(), *(Text(line) for line in _lines(study, forecast)))


def _lines(study: StudyConfig, forecast: Forecast) -> list[str]:
    costs, resources = forecast.costs, study.resources
    hours = [f"{forecast.cpu_hours:.2g} CPU hours"]
    hours += [f"{forecast.gpu_hours:.2g} GPU hours"] if resources.gpus else []
    memory = f"{_bytes(costs.memory)} of memory"
    memory += f" and {_bytes(costs.gpu_memory)} of GPU memory" if costs.gpu_memory else ""
    confirming = f", {forecast.confirming} of them to confirm" if forecast.confirming else ""
    ended = f", beside {forecast.ended} that have ended" if forecast.ended else ""
    lines = [
        f"{counted(forecast.trials, 'trial')}{confirming}{ended}, {forecast.concurrency} at a time: about "
        f"{duration(forecast.wall_hours * 3600)} in all, {' and '.join(hours)}",
        f"{memory} per {'worker' if resources.workers > 1 else 'trial'}; up to {_bytes(forecast.disk)} of disk",
        f"Estimated from a few steps of {forecast.probed}: {costs.step:.3g} s per step, {costs.image:.2g} s per "
        f"image and {costs.caption:.2g} s per caption embedded",
    ]
    if limits := study.budget.model_dump(exclude_none=True):
        given = ", ".join(f"{name}: {limit:g}" for name, limit in limits.items())
        cut = f"leaves out {counted(forecast.cut, 'trial')} of the search" if forecast.cut else "suffices"
        lines.append(f"The budget ({given}) {cut}")
    lines += _outlook_lines(study, forecast)
    if redrawn := searcher_of(study).redrawn(study):
        lines.append(f"{counted(redrawn, 'setting')} made no valid training run and others were drawn instead")
    if forecast.preparation > 1:
        lines.append(f"Before the first trial all images are decoded once: about {duration(forecast.preparation)}")
    if resources.workers > 1:
        lines.append(f"Measured with one of {resources.workers} workers; communication between workers is not included")
    if not searcher_of(study).plans_ahead:
        lines.append("The arms shown are the extremes of Optuna's search space")
    if study.scheduler == "asha":
        lines.append("The time that ASHA saves is not included")
    return lines


def _outlook_lines(study: StudyConfig, forecast: Forecast) -> Iterator[str]:
    """What the confirm stage takes on average, and how likely each look is to show a difference."""
    found = forecast.outlook
    if found is None or study.confirm is None:
        return
    looks = study.confirm.looks
    effect = f"{found.one.effect:.1f} standard deviations of its differences seed by seed"
    seen = [f"{100 * chance:.0f}% by {seeds} seeds" for seeds, chance in found.one.detected.items()]
    line = f"Confirm stage: {counted(found.arms, 'arm')} and the control, {_looks(looks)}"
    if len(looks) == 1:
        yield f"{line}: shows with 80% probability that an arm differs by {effect}"
        return
    yield f"{line}; on average it takes"
    yield f"- {_cost(study, forecast, found.none)}, if nothing differs"
    yield (
        f"- {_cost(study, forecast, found.one)}, if one arm differs by {effect}, which it shows with a probability of "
        f"{', '.join(seen)}"
    )
    if study.margin is not None:
        yield "- less, if arms turn out to be no different within the margin"


def _looks(looks: Sequence[int]) -> str:
    """The looks of a plan, e.g. looks at 3, 5 and 8 seeds."""
    first, last = ", ".join(map(str, looks[:-1])), counted(looks[-1], "seed")
    return f"looks at {first} and {last}" if first else last


def _cost(study: StudyConfig, forecast: Forecast, expected: Prospect) -> str:
    """The trials of a confirm stage, and their share of the hours of all trials."""
    share = expected.trials / forecast.trials
    hours, kind = (forecast.gpu_hours, "GPU") if study.resources.gpus else (forecast.cpu_hours, "CPU")
    return f"{expected.trials:.1f} trials, {expected.seeds:.1f} seeds per arm, {share * hours:.2g} {kind} hours"


def _bytes(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"
