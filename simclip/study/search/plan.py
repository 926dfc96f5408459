"""A study's searcher, found by its name, and the arms and trials that it plans."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from simclip.study.search import searchers as package
from simclip.study.search.searcher import BegunTrial, Searcher
from simclip.study.spec.arms import Arm, Trial, on_this_machine, unseeded
from simclip.study.spec.single_run import SingleRun
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
    """The arms that a study's searcher knows in advance, in their order; empty if it decides as it goes.

    Raises:
        InputError: Settings that make no valid training run; names the arm.
    """
    return searcher_of(study).planned(study)


def planned_trials(study: StudyConfig, begun: Mapping[str, BegunTrial] | None = None) -> list[Trial]:
    """Every planned arm on every seed, arm after arm: an arm's mean is final before its models are dropped.

    Args:
        study: The study.
        begun: The search's trials that have begun. Arms of theirs that the study would not draw, such as the controls
            of earlier versions, count as settings of their kind: so many others fewer are drawn.
    """
    if isinstance(study, SingleRun):
        return study.replicates
    known = [
        Arm(each.arm, unseeded(on_this_machine(study, each.config)), each.control) for each in (begun or {}).values()
    ]
    recorded = {arm.config.run_key: arm for arm in known}
    arms = planned_arms(study)
    drawn = {arm.config.run_key for arm in arms}
    extra = [arm for key, arm in recorded.items() if key not in drawn]
    for each in extra:
        fresh = [arm for arm in arms if arm.config.run_key not in recorded and arm.is_control == each.is_control]
        if fresh:
            arms.remove(fresh[-1])
    return [Trial(arm, seed) for arm in [*extra, *arms] for seed in study.seeds]


def foreseen_arms(study: StudyConfig) -> list[Arm]:
    """The arms that stand for a study's search before it begins."""
    return searcher_of(study).foreseen(study)
