"""The confirm stage: the search's best arms and its best control run again, on fresh seeds that all of them share.

An arm that ranks first in a search looks better than it is, because luck helped it there. Fresh seeds remove that bias.
"""

from __future__ import annotations

import statistics

from simclip.study.analysis.comparison.planning import Outlook, detectable, outlook
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import MIN_PAIRS, POWER, paired
from simclip.study.search.plan import planned_trials, searcher_of
from simclip.study.spec.arms import Arm, Trial, on_this_machine, unseeded
from simclip.study.spec.study import StudyConfig
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig


def confirm_trials(results: StudyResults) -> list[Trial]:
    """The trials up to the confirm stage's next look, seed after seed, so that pairs are complete early.

    An arm that an earlier look has decided about has the trials of that look alone.
    """
    looks = results.looks
    if looks is None:
        return []
    latest = looks.taken[-1].seeds if looks.taken else 0
    return _trials(results, looks.next or latest)


def confirm_trials_at_most(results: StudyResults) -> list[Trial]:
    """The trials of the confirm stage if no further look decides about any arm."""
    looks = results.looks
    if looks is None:
        return []
    return _trials(results, len(results.study.confirm_seeds)) if looks.next else confirm_trials(results)


def _trials(results: StudyResults, seeds: int) -> list[Trial]:
    """The trials of all contenders on the first so many seeds, without those of decided and dropped arms."""
    study, search, looks = results.study, results.search, results.looks
    most = {name: look.seeds for name, look in looks.decided.items()} if looks else {}
    most |= results.dropped
    arms = {each.name: _arm(study, search[f"{each.name}-s{study.seeds[0]}"]) for each in results.contenders}
    return [
        Trial(arm, seed, "confirm")
        for number, seed in enumerate(study.confirm_seeds[:seeds])
        for name, arm in arms.items()
        if number < most.get(name, seeds)
    ]


def search_has_ended(results: StudyResults) -> bool:
    """Whether the search has no trial left, as far as its records tell; one with a budget may leave trials out."""
    study, begun = results.study, results.of_stage("search")
    if not begun or not all(record.outcome for record in begun.values()):
        return False
    if study.budget.model_dump(exclude_none=True):
        return True
    planned = under_recorded_names(study, planned_trials(study, begun), begun)
    return all(trial.name in begun for trial in planned) and not searcher_of(study).wants_more(study, begun)


def confirm_trial_count(study: StudyConfig, others: int) -> int:
    """The number of trials in the confirm stage if all trials of the search finish.

    Args:
        study: The study.
        others: Number of arms in the search besides controls.
    """
    arms = min(study.confirm.arms, others) if study.confirm else 0
    return (arms + 1) * len(study.confirm_seeds) if arms else 0


def confirm_outlook(study: StudyConfig, others: int) -> Outlook | None:
    """What to expect of the confirm stage before it begins; None without one, or with too few seeds for a verdict.

    Args:
        study: The study.
        others: Number of arms in the search besides controls.
    """
    if study.confirm is None or not others or study.confirm.most_seeds < MIN_PAIRS:
        return None
    return outlook(min(study.confirm.arms, others), study.confirm.looks, POWER)


def confirm_config(study: StudyConfig, config: TrainConfig) -> TrainConfig:
    """An arm's configuration in the confirm stage: it also evaluates the test sets, which leaves training as it is."""
    return config.model_copy(update={"evaluate": [*config.evaluate, *study.test]})


def detectable_difference(results: StudyResults) -> tuple[float | None, float | None]:
    """The smallest difference that the confirm stage detects with 80% probability, at any of its looks.

    Returns:
        The difference in standard deviations of the paired differences, None below three seeds; and in the metric's
        unit, by the standard deviation of the search's own pairs, None if the search ran on one seed.
    """
    study, contenders = results.study, results.contenders
    if study.confirm is None or not contenders:
        return None, None
    control, *others = contenders
    if study.confirm.most_seeds < MIN_PAIRS:
        return None, None
    relative = detectable(len(others), study.confirm.looks, POWER)
    deviations = [paired(arm.scores, control.scores).spread.std for arm in others]
    variances = [deviation**2 for deviation in deviations if deviation is not None]
    if not variances:
        return relative, None
    return relative, relative * statistics.fmean(variances) ** 0.5


def _arm(study: StudyConfig, record: Record) -> Arm:
    return Arm(record.arm, confirm_config(study, unseeded(on_this_machine(study, record.config))), record.control)
