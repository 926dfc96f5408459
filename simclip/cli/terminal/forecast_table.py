"""The forecast of a study as a table and a few lines."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from simclip.cli.terminal.fitting_table import Column, FittingTable
from simclip.cli.wording.formatting import counted, duration
from simclip.study.execution.forecast import Forecast
from simclip.study.spec.study import StudyConfig


def shown_forecast(study: StudyConfig, forecast: Forecast) -> RenderableType:
    """Arms with the time of a trial of each, and what all of them need.

    Args:
        study: The study.
        forecast: Of it.
    """
    arms = [
        Column("arm", [Text(arm.name) for arm, _ in forecast.arms], 0, least=14),
        Column("trials", [Text(str(len(study.seeds))) for _ in forecast.arms], 2, right=True),
        Column("time per\ntrial", [Text(duration(seconds)) for _, seconds in forecast.arms], 1, right=True),
    ]
    if study.searcher == "optuna":
        del arms[1]
    return Group(FittingTable(arms), Text(), *(Text(line) for line in _lines(study, forecast)))


def _lines(study: StudyConfig, forecast: Forecast) -> list[str]:
    costs, resources = forecast.costs, study.resources
    hours = [f"{forecast.cpu_hours:.2g} CPU hours"]
    hours += [f"{forecast.gpu_hours:.2g} GPU hours"] if resources.gpus else []
    memory = f"{_bytes(costs.memory)} of memory"
    memory += f" and {_bytes(costs.gpu_memory)} of GPU memory" if costs.gpu_memory else ""
    confirming = f", {forecast.confirming} of them to confirm" if forecast.confirming else ""
    lines = [
        f"{counted(forecast.trials, 'trial')}{confirming}, {forecast.concurrency} at a time: about "
        f"{duration(forecast.wall_hours * 3600)} in all, {' and '.join(hours)}",
        f"{memory} per {'worker' if resources.workers > 1 else 'trial'}; up to {_bytes(forecast.disk)} of disk",
        f"Estimated from a few steps of {forecast.probed}: {costs.step:.3g} s per step, {costs.image:.2g} s per "
        f"image and {costs.caption:.2g} s per caption embedded",
    ]
    if forecast.preparation > 1:
        lines.append(f"Before the first trial all images are decoded once: about {duration(forecast.preparation)}")
    if resources.workers > 1:
        lines.append(f"Probed with one of {resources.workers} workers; what they say to each other is not counted")
    if study.searcher == "optuna":
        lines.append("The arms are the extremes of what Optuna searches; further controls come with ordinary fields")
    if study.scheduler == "asha":
        lines.append("What ASHA saves is not counted")
    return lines


def _bytes(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"
