"""Parameter effects: scores over the values of each parameter, as in the paper's figures 2 to 4."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from simclip.study.analysis.results import StudyResults
from simclip.study.search.coordinates import WITHOUT_CLUSTERS, coordinates, sets_clusters, varied
from simclip.study.search.plan import searcher_of
from simclip.study.spec.arm_names import arm_name
from simclip.study.spec.arms import varied_fields
from simclip.study.spec.parameter import Parameter
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig

Trials: TypeAlias = Sequence[tuple[Record, float]]
Placed: TypeAlias = tuple[float, Record, float]  # where on the x axis, and the score
Scale: TypeAlias = Literal["linear", "log", "category"]

#: Maximum number of lines for one parameter.
MAX_LINES = 4


@dataclass(frozen=True, kw_only=True)
class Point:
    """The trials with one value of a parameter.

    Attributes:
        x: The value; for a category its index.
        label: The value as text.
        mean: Mean over seeds of the seed's mean over all arms with this value.
        std: Sample standard deviation of the seeds' means; None below two seeds.
        seeds: Number of seeds.
        trials: Number of trials over all seeds.
        stopped: Number of trials that ASHA stopped; they are scored on fewer epochs.
    """

    x: float
    label: str
    mean: float
    std: float | None
    seeds: int
    trials: int
    stopped: int


@dataclass(frozen=True)
class Line:
    """Points in ascending order of x. The name is empty if the parameter has only one line."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class ParameterEffect:
    """Scores over the values of one parameter.

    Attributes:
        parameter: A training field, or the name of a linked parameter.
        scale: Scale of the x axis.
        joined: Whether the points may be joined by a line: not for categories, nor for random values from a range.
        lines: At least one line. Lines over k and p begin with the control, at k = 1 and p = 0.
        control: All controls as one point, whose x has no meaning; None without a scored control.
    """

    parameter: str
    scale: Scale
    joined: bool
    lines: list[Line]
    control: Point | None


def parameter_effects(results: StudyResults) -> list[ParameterEffect]:
    """The search's scores over the values of each varied parameter, averaged over the other parameters.

    In a grid, a cluster field has one line per schedule of p, as in the paper's figures, if every line covers all
    values. An ordinary field has one line for arms with clusters and one for the controls.

    Returns:
        Effects in the order of the study file, without parameters that have fewer than two scored values.
    """
    study = results.study
    found = [_effect(study, name, parameter, results.scored) for name, parameter in varied(study).items()]
    return [effect for effect in found if any(len(line.points) > 1 for line in effect.lines)]


def _effect(study: StudyConfig, name: str, parameter: Parameter, trials: Trials) -> ParameterEffect:
    scale = _scale(name, parameter)
    placed = [(x, record, score) for record, score in trials for x in _places(study, name, parameter, scale, record)]
    controls = [each for each in placed if each[1].control]
    arms = [each for each in placed if not each[1].control]
    if sets_clusters(name, parameter):
        by_line = {line: [*controls, *those] for line, those in _split(study, name, parameter, arms).items()}
    else:
        by_line = {"with clusters": arms, "plain fine-tuning": controls}
    by_line = {line: those for line, those in by_line.items() if those}
    lines = [
        Line(line if len(by_line) > 1 else "", _points(those, lambda x: _label(study, name, parameter, scale, x)))
        for line, those in by_line.items()
    ]
    plain = [(record, score) for record, score in trials if record.control]
    joined = scale != "category" and (searcher_of(study).exhaustive or parameter.kind == "categorical")
    return ParameterEffect(name, scale, joined, lines, _point(0.0, "plain fine-tuning", plain) if plain else None)


def _places(study: StudyConfig, name: str, parameter: Parameter, scale: Scale, record: Record) -> list[float]:
    """The trial's place on the x axis; empty if it has none."""
    if record.control and name in WITHOUT_CLUSTERS:
        x = float(WITHOUT_CLUSTERS[name])
        return [x] if x > 0 or scale == "linear" else []
    point = coordinates(study, record)
    if name not in point:
        return []
    return [parameter.choices.index(point[name]) if scale == "category" else point[name]]


def _scale(name: str, parameter: Parameter) -> Scale:
    """Logarithmic if declared so, or if the ratios of the values are more even than their differences."""
    if parameter.kind != "categorical":
        return "log" if "log" in parameter.kind else "linear"
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in parameter.choices):
        return "category"
    values = np.array(sorted({*parameter.choices, *([WITHOUT_CLUSTERS[name]] if name in WITHOUT_CLUSTERS else [])}))
    if len(values) < 3 or values[0] <= 0:
        return "linear"
    ratios, differences = np.diff(np.log(values)), np.diff(values)
    return "log" if ratios.std() / ratios.mean() < differences.std() / differences.mean() else "linear"


def _label(study: StudyConfig, name: str, parameter: Parameter, scale: Scale, x: float) -> str:
    if scale != "category":
        return f"{x:.4g}"
    shown = varied_fields(study)
    settings = settings_of(name, parameter.choices[int(x)])
    return arm_name({field: value for field, value in settings.items() if field in shown}).removeprefix(f"{name}=")


def _split(study: StudyConfig, name: str, parameter: Parameter, placed: list[Placed]) -> dict[str, list[Placed]]:
    """The arms by schedule of p, if that gives a few lines that each cover all values; otherwise all in one line."""
    by_line: dict[str, list[Placed]] = {}
    for each in sorted(placed, key=lambda each: (each[1].config.warms_up, each[1].config.final_proportion)):
        by_line.setdefault(_schedule(fields_of(name, parameter), each[1].config), []).append(each)
    values = {x for x, *_ in placed}
    whole = all({x for x, *_ in those} == values for those in by_line.values())
    return by_line if searcher_of(study).exhaustive and whole and len(by_line) <= MAX_LINES else {"": placed}


def _schedule(without: Sequence[str], config: TrainConfig) -> str:
    """The name of a schedule of p, without the fields that are on the x axis."""
    if "proportions" in without or {"proportion", "proportion_warmup"} <= set(without):
        return ""
    if "proportion_warmup" in without:
        return f"p = {config.final_proportion:.4g}"
    course = "warmed up" if config.warms_up else "constant"
    return f"p {course}" if "proportion" in without else f"p = {config.final_proportion:.4g}, {course}"


def _points(placed: list[Placed], label: Callable[[float], str]) -> list[Point]:
    by_x: dict[float, list[tuple[Record, float]]] = {}
    for x, record, score in sorted(placed, key=lambda each: each[0]):
        by_x.setdefault(x, []).append((record, score))
    return [_point(x, label(x), those) for x, those in by_x.items()]


def _point(x: float, label: str, trials: Trials) -> Point:
    by_seed: dict[int, list[float]] = {}
    for record, score in trials:
        by_seed.setdefault(record.seed, []).append(score)
    means = [statistics.fmean(scores) for scores in by_seed.values()]
    return Point(
        x=x,
        label=label,
        mean=statistics.fmean(means),
        std=statistics.stdev(means) if len(means) > 1 else None,
        seeds=len(means),
        trials=len(trials),
        stopped=sum(record.outcome == "stopped" for record, _ in trials),
    )
