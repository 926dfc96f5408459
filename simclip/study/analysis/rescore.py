"""Results ranked by another metric that their records hold, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from simclip.config.explain import hint
from simclip.config.schema import Objective, metric_weights
from simclip.errors import InputError
from simclip.evaluation.objective import direction, objective
from simclip.study.analysis.ranking import mean_metrics
from simclip.study.analysis.results import StudyResults
from simclip.study.spec.overrides import read_overrides
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record


def rescored(results: StudyResults, words: Sequence[str]) -> StudyResults:
    """The results as if the study had been ranked by another metric; the models that it kept stay those of its own.

    Args:
        results: The results of a study.
        words: Overrides; only `metric=NAME` or `metric={NAME: WEIGHT, ...}`. Without any, the results as they are.

    Raises:
        InputError: Another field is overridden, or the records do not hold the metric.
    """
    study = results.study
    for word, keys, value in read_overrides(words):
        if keys != ("metric",):
            raise InputError(f"override {word!r}: results can be ranked by another metric only: metric=NAME")
        metric = _metric(word, value)
        known = {name for record in results.records.values() for row in record.history for name in mean_metrics([row])}
        for name in metric_weights(metric):
            if name not in known - {"metric"}:
                raise InputError(f"override {word!r}: no record holds {name!r}; {hint(name, sorted(known))}")
        mode = direction(metric) or study.mode
        update: dict[str, Any] = {"metric": metric, "mode": mode}
        train = study.train.model_copy(update=update)
        study = study.model_copy(update={**update, "train": train, "test_metric": None})
        try:
            study.confirmed_metric  # noqa: B018  raises if no test set has the metric
        except ValueError as error:
            raise InputError(f"override {word!r}: {error}") from None
        records = {name: _record(each, update) for name, each in results.records.items()}
        # What was planned was about the study's own metric.
        once = one_look(study, margin=None)
        results = StudyResults(once, records, results.items, dropped=dropped_arms(results))
    return results


def one_look(study: StudyConfig, **changes: Any) -> StudyConfig:
    """The study with one look at everything, and other changes to its confirm stage."""
    if study.confirm is None:
        return study
    update = {"seeds": study.confirm.most_seeds, **changes}
    return study.model_copy(update={"confirm": study.confirm.model_copy(update=update)})


def dropped_arms(results: StudyResults) -> dict[str, int]:
    """The arms that take no more seeds, and their numbers of seeds; all arms once the confirm stage has ended."""
    if results.looks is None or not results.looks.taken:
        return results.dropped
    most = {name: look.seeds for name, look in results.looks.decided.items()}
    if results.looks.next is None:
        most = {arm.name: results.looks.taken[-1].seeds for arm in results.contenders} | most
    return most


def _metric(word: str, value: Any) -> str | dict[str, float]:
    adapter: TypeAdapter[str | dict[str, float]] = TypeAdapter(Objective)
    try:
        metric = adapter.validate_python(value)
        direction(metric)
    except ValidationError as error:
        raise InputError(f"override {word!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise InputError(f"override {word!r}: {error}") from None
    return metric


def _record(record: Record, update: Mapping[str, Any]) -> Record:
    metric = update["metric"]
    names = metric_weights(metric)
    history = [
        {**row, "metric": objective(metric, row) if all(name in row for name in names) else math.nan}
        for row in record.history
    ]
    return replace(record, config=record.config.model_copy(update=dict(update)), history=history)
