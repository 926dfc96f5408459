"""Importances: what was planted comes first, and Optuna's own study of the same trials says the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import pytest

from simclip.runtime.randomness import generator
from simclip.study.analysis.importance import importances
from simclip.study.analysis.results import StudyResults
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from tests.study import examples

Untrained = Callable[..., dict[str, Record]]
RATE = {"min": 1e-6, "max": 1e-2, "distribution": "log_uniform_values"}


def study(trials: int, parameters: dict[str, Any], **fields: Any) -> StudyConfig:
    return examples.study(parameters, searcher="random", trials=trials, **fields)


def noise(config: TrainConfig, draw: int = 0) -> float:
    """The same for the same choices, whatever fields configurations may have one day."""
    return 0.01 * float(generator(draw, config.model_dump_json(exclude_defaults=True)).random())


PLANTED: dict[str, Callable[[TrainConfig], float]] = {
    "learning_rate": lambda config: -abs(float(str(config.learning_rate)) - 1e-3),
    "proportion": lambda config: config.proportion,
    "schedule": lambda config: 2.0 * (config.similarity == "image") - config.warmup_intervals,
    "neighborhood": lambda config: -float((config.neighborhood - 2) ** 2),
}


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("planted", PLANTED)
def test_what_was_planted_comes_first(untrained: Untrained, planted: str, mode: str) -> None:
    """Which of equally good settings are the best is luck, so the mean over several such draws is looked at."""
    space = {
        "learning_rate": RATE, "proportion": {"min": 0.5, "max": 1.0}, "neighborhood": [1, 2, 3, 4],
        "cluster_size": {"min": 4, "max": 16, "q": 4, "distribution": "q_uniform"},
        "schedule": [{"similarity": each, "warmup_intervals": i} for each in ("text", "image") for i in (1, 4)],
        "weight_decay": {"value": 0.1},
    }  # fmt: skip
    search = study(266, space, mode=mode)  # a quarter of them controls, which the space does not hold
    sign = 1 if mode == "max" else -1
    mean = dict.fromkeys(set(space) - {"weight_decay"}, 0.0)
    for draw in range(8):
        worth = partial(lambda draw, c: [sign * (PLANTED[planted](c) + 1e-4 * noise(c, draw))], draw)
        found = importances(StudyResults(search, untrained(search, worth)))
        assert found is not None
        assert (found.evaluator, found.version) == ("PED-ANOVA", optuna.__version__)
        assert (found.settings, found.best, found.note) == (200, 20, None)
        assert set(found.shares) == mean.keys()
        assert sum(found.shares.values()) == pytest.approx(1)
        assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
        mean = {name: share + found.shares[name] / 8 for name, share in mean.items()}
    assert max(mean, key=mean.__getitem__) == planted
    assert mean[planted] > 0.5


def test_optuna_says_the_same_of_its_own_study(untrained: Untrained) -> None:
    """The same values, enqueued and suggested in the ordinary way."""
    space = {"learning_rate": RATE, "cluster_size": {"min": 2, "max": 16}, "similarity": ["text", "image"]}
    search = study(80, space, train={"proportion": 0.5})
    records = untrained(search, lambda config: [config.cluster_size * float(str(config.learning_rate)) + noise(config)])
    arms = [record for record in records.values() if not record.control]
    own = optuna.create_study(direction="maximize")
    for record in arms:
        own.enqueue_trial(record.config.model_dump(include=set(space)))
    scores = iter(record.score for record in arms)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True)
        trial.suggest_int("cluster_size", 2, 16)
        trial.suggest_categorical("similarity", ["text", "image"])
        return next(scores) or 0.0

    own.optimize(objective, n_trials=len(arms))
    found = importances(StudyResults(search, records))
    assert found is not None
    assert found.shares == pytest.approx(optuna.importance.get_param_importances(own))


def test_without_clusters_no_cluster_field_counts(untrained: Untrained) -> None:
    """Controls and arms with a small p are equally bad, arms with a large p equally good: p alone decides."""
    space = {"proportion": [0, 0.5, 1], "cluster_size": [2, 4, 8], "neighborhood": [1, 2, 3], "learning_rate": RATE}
    search = study(120, space)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = importances(StudyResults(search, untrained(search, lambda c: [(c.proportion == 1) * (1 + noise(c))])))
    assert found is not None
    assert found.settings == 120  # the controls among them
    assert next(iter(found.shares)) == "proportion"


def test_an_arm_counts_once_whatever_its_seeds(untrained: Untrained) -> None:
    search = study(20, {"learning_rate": RATE}, seeds=[1, 2, 3])
    records = untrained(search, lambda config: [float(str(config.learning_rate)) + noise(config)])
    found = importances(StudyResults(search, records))
    assert found is not None and (found.settings, found.best) == (20, 5)
    assert found == importances(StudyResults(search, dict(reversed(list(records.items())))))


def test_of_little_little_is_said(untrained: Untrained) -> None:
    search = study(9, {"learning_rate": RATE, "weight_decay": {"min": 0.0, "max": 0.2}})
    records = untrained(search, lambda config: [noise(config)])
    found = importances(StudyResults(search, records))
    assert found is not None and found.best == 4
    assert found.note == "With no more than 4 best settings, a lead may be luck."
    some = dict(list(records.items())[:4])
    assert importances(StudyResults(search, some)) is None
    failed = {name: replace(record, outcome="failed") for name, record in records.items()}
    assert importances(StudyResults(search, {**failed, **some})) is None
    assert importances(StudyResults(search, {})) is None


def test_a_grid_has_none(untrained: Untrained) -> None:
    grid = StudyConfig(name="s", train={"batch_size": 64}, parameters={"weight_decay": {"values": [0, 0.1, 0.2, 1, 2]}})
    assert importances(StudyResults(grid, untrained(grid, lambda config: [noise(config)]))) is None
