"""A study's searcher, found by its name, and the arms and trials that it plans."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from simclip.study.search import searchers as package
from simclip.study.search.searcher import Searcher
from simclip.study.spec.arms import Arm, Trial
from simclip.study.spec.study import StudyConfig


@functools.cache
def searchers() -> dict[str, Searcher]:
    """All searchers by name: the subclasses of Searcher in the modules of the package `searchers`."""
    names = [each.name for each in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found = [each for module in modules for each in vars(module).values() if isinstance(each, type)]
    return {each.name: each() for each in found if issubclass(each, Searcher) and each is not Searcher}


def searcher_of(study: StudyConfig) -> Searcher:
    """The searcher that a study names.

    Raises:
        ValueError: There is no searcher of this name.
    """
    if study.searcher not in searchers():
        *names, last = (repr(name) for name in searchers())
        raise ValueError(f"searcher: should be {', '.join(names)} or {last}; got {study.searcher!r}")
    return searchers()[study.searcher]


def planned_arms(study: StudyConfig) -> list[Arm]:
    """The arms that a study's searcher knows in advance, controls first; empty if it decides as it goes.

    Raises:
        InputError: Settings that make no valid training run; names the arm.
    """
    return searcher_of(study).planned(study)


def planned_trials(study: StudyConfig) -> list[Trial]:
    """Every planned arm on every seed, arm after arm: an arm's mean is final before its models are dropped."""
    return [Trial(arm, seed) for arm in planned_arms(study) for seed in study.seeds]


def foreseen_arms(study: StudyConfig) -> list[Arm]:
    """The arms that stand for a study's search before it begins, controls first."""
    return searcher_of(study).foreseen(study)
