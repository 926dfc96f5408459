"""The confirm stage: the search's best arms and its best control run again, on fresh seeds that all of them share.

An arm that ranks first in a search looks better than it is, because luck helped it there. Fresh seeds remove that bias.
"""

from __future__ import annotations

import statistics

from simclip.study.analysis.comparison.dunnett import detectable
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.statistics import ALPHA, MIN_PAIRS, POWER, paired
from simclip.study.search.plan import planned_trials, searcher_of
from simclip.study.spec.arms import Arm, Trial, on_this_machine, unseeded
from simclip.study.spec.study import StudyConfig
from simclip.study.store.compatibility import under_recorded_names
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig


def confirm_trials(results: StudyResults) -> list[Trial]:
    """The trials of the confirm stage, seed after seed, so that pairs with the control are complete early."""
    study, search = results.study, results.search
    arms = [_arm(study, search[f"{each.name}-s{study.seeds[0]}"]) for each in results.contenders]
    return [Trial(arm, seed, "confirm") for seed in study.confirm_seeds for arm in arms]


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


def confirm_config(study: StudyConfig, config: TrainConfig) -> TrainConfig:
    """An arm's configuration in the confirm stage: it also evaluates the test sets, which leaves training as it is."""
    return config.model_copy(update={"evaluate": [*config.evaluate, *study.test]})


def detectable_difference(results: StudyResults) -> tuple[float | None, float | None]:
    """The smallest difference that the confirm stage can detect with 80% probability.

    Returns:
        The difference in standard deviations of the paired differences, None below three seeds; and in the metric's
        unit, by the standard deviation of the search's own pairs, None if the search ran on one seed.
    """
    study, contenders = results.study, results.contenders
    if study.confirm is None or not contenders:
        return None, None
    control, *others = contenders
    if study.confirm.seeds < MIN_PAIRS:
        return None, None
    relative = detectable(study.confirm.seeds, len(others), ALPHA, POWER)
    deviations = [paired(arm.scores, control.scores).spread.std for arm in others]
    variances = [deviation**2 for deviation in deviations if deviation is not None]
    if not variances:
        return relative, None
    return relative, relative * statistics.fmean(variances) ** 0.5


def _arm(study: StudyConfig, record: Record) -> Arm:
    return Arm(record.arm, confirm_config(study, unseeded(on_this_machine(study, record.config))), record.control)
