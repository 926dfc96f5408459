"""Scores over the values of each parameter, with their spread over seeds (as the paper's figures 2 to 4)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from simclip.study.analysis.results import StudyResults
from simclip.study.search.coordinates import WITHOUT_CLUSTERS, coordinates, sets_clusters, varied
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

#: A parameter's line is not split in more lines than these.
MOST_LINES = 4


@dataclass(frozen=True)
class Point:
    """The trials of one value.

    Attributes:
        x: The value; of a category its place, from 0.
        label: The value as text.
        mean: Of the seeds' means; a seed's mean is over all arms that have this value.
        std: Sample standard deviation of the seeds' means; None below two seeds.
        lowest: Of the seeds' means.
        highest: Of the seeds' means.
        seeds: How many.
        trials: How many, over all seeds.
        stopped: How many of them ASHA stopped: their scores are those of a shorter run.
    """

    x: float
    label: str
    mean: float
    std: float | None
    lowest: float
    highest: float
    seeds: int
    trials: int
    stopped: int


@dataclass(frozen=True)
class Line:
    """Points by rising x; the name is empty where there is one line only."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Effect:
    """Scores over the values of one parameter.

    Attributes:
        parameter: A training field, or the name of a linked parameter.
        scale: Of the x axis.
        joined: Whether a line may join the points: not those of categories, nor the draws from a range.
        lines: At least one. Those of k and p begin with the control, at k = 1 and p = 0.
        control: All controls, for reference, its x without meaning; None where none has a score.
    """

    parameter: str
    scale: Scale
    joined: bool
    lines: list[Line]
    control: Point | None


def effects(results: StudyResults) -> list[Effect]:
    """The search's scores over each parameter that varies, averaged over the others.

    A cluster field has a line for each schedule of p, as the paper's figures have, if the study is a grid and every
    such line is whole; an ordinary field has one with clusters and one of the controls.

    Returns:
        In the study file's order; without parameters of which fewer than two values have a score.
    """
    study = results.study
    found = [_effect(study, name, parameter, results.scored) for name, parameter in varied(study).items()]
    return [effect for effect in found if any(len(line.points) > 1 for line in effect.lines)]


def _effect(study: StudyConfig, name: str, parameter: Parameter, trials: Trials) -> Effect:
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
    joined = scale != "category" and (study.searcher == "grid" or parameter.kind == "categorical")
    return Effect(name, scale, joined, lines, _point(0.0, "plain fine-tuning", plain) if plain else None)


def _places(study: StudyConfig, name: str, parameter: Parameter, scale: Scale, record: Record) -> list[float]:
    """Where on the x axis a trial stands: at one place, or nowhere."""
    if record.control and name in WITHOUT_CLUSTERS:
        x = float(WITHOUT_CLUSTERS[name])
        return [x] if x > 0 or scale == "linear" else []
    point = coordinates(study, record)
    if name not in point:
        return []
    return [parameter.choices.index(point[name]) if scale == "category" else point[name]]


def _scale(name: str, parameter: Parameter) -> Scale:
    """Logarithmic where it was declared, or where ratios of the values are more even than their differences."""
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
    """The arms by their schedule of p, if that makes a few lines over all of the values; else all in one."""
    by_line: dict[str, list[Placed]] = {}
    for each in sorted(placed, key=lambda each: (each[1].config.warms_up, each[1].config.final_proportion)):
        by_line.setdefault(_schedule(fields_of(name, parameter), each[1].config), []).append(each)
    values = {x for x, *_ in placed}
    whole = all({x for x, *_ in those} == values for those in by_line.values())
    return by_line if study.searcher == "grid" and whole and len(by_line) <= MOST_LINES else {"": placed}


def _schedule(apart: Sequence[str], config: TrainConfig) -> str:
    """What is to be said of p apart from some fields."""
    if "proportions" in apart or {"proportion", "proportion_warmup"} <= set(apart):
        return ""
    if "proportion_warmup" in apart:
        return f"p = {config.final_proportion:.4g}"
    way = "warmed up" if config.warms_up else "constant"
    return f"p {way}" if "proportion" in apart else f"p = {config.final_proportion:.4g}, {way}"


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
        x,
        label,
        statistics.fmean(means),
        statistics.stdev(means) if len(means) > 1 else None,
        min(means),
        max(means),
        len(means),
        len(trials),
        sum(record.outcome == "stopped" for record, _ in trials),
    )
