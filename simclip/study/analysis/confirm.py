"""The second stage: the best arms of the search and the best control once more, on fresh seeds that both share.

What the search ranks highest looks better than it is, since luck helped to rank it. Fresh seeds know nothing of that.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from simclip.config.training import TrainConfig
from simclip.study.analysis.ranking import ArmResult, rank_arms
from simclip.study.analysis.statistics import detectable, paired
from simclip.study.spec.arms import Arm, Trial, unseeded, varied_fields
from simclip.study.spec.study import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.store.records import Record


def search_records(study: StudyConfig, records: Mapping[str, Record]) -> dict[str, Record]:
    """The records of the search stage, on the seeds that the study now has: an Optuna search may change its seed."""
    return {n: record for n, record in records.items() if record.stage == "search" and record.seed in study.seeds}


def confirm_records(study: StudyConfig, records: Mapping[str, Record]) -> dict[str, Record]:
    """The records of the confirm stage, on the seeds that the study now has: `confirm` may be cut down."""
    seeds = confirm_seeds(study)
    return {name: record for name, record in records.items() if record.stage == "confirm" and record.seed in seeds}


def confirm_seeds(study: StudyConfig) -> range:
    """The seeds of the confirm stage; none where the study has no such stage."""
    return range(FIRST_CONFIRM_SEED, FIRST_CONFIRM_SEED + (study.confirm.seeds if study.confirm else 0))


def contenders(study: StudyConfig, records: Mapping[str, Record]) -> list[ArmResult]:
    """The best control of the search, then its best arms; only arms that finished all of their seeds.

    Empty where no control or no other arm did, so that there is nothing to compare.
    """
    if study.confirm is None:
        return []
    ranked = rank_arms(search_records(study, records))
    whole = [arm for arm in ranked if arm.complete and len(arm.scores) >= len(study.seeds)]
    controls = [arm for arm in whole if arm.control]
    others = [arm for arm in whole if not arm.control][: study.confirm.arms]
    return [controls[0], *others] if controls and others else []


def confirm_trials(study: StudyConfig, records: Mapping[str, Record]) -> list[Trial]:
    """The trials of the confirm stage, seed after seed, so that pairs are complete early."""
    arms = [_arm(study, records[f"{each.name}-s{study.seeds[0]}"]) for each in contenders(study, records)]
    return [Trial(arm, seed, "confirm") for seed in confirm_seeds(study) for arm in arms]


def confirm_trial_count(study: StudyConfig, others: int) -> int:
    """How many trials that will be, for so many arms besides controls, if all of the search's finish."""
    arms = min(study.confirm.arms, others) if study.confirm else 0
    return (arms + 1) * len(confirm_seeds(study)) if arms else 0


def confirm_config(study: StudyConfig, config: TrainConfig) -> TrainConfig:
    """An arm's configuration in the confirm stage: it reads the test sets too, which change nothing in its training."""
    return config.model_copy(update={"evaluate": [*config.evaluate, *study.test]})


def detectable_difference(study: StudyConfig, records: Mapping[str, Record]) -> tuple[float | None, float | None]:
    """The smallest difference that the confirm stage can detect with 80% probability.

    Returns:
        It in standard deviations of the paired differences, None below three seeds; and in the metric's unit, with
        the standard deviation that the search's own pairs show, None where it ran on one seed.
    """
    chosen = contenders(study, records)
    if study.confirm is None or not chosen:
        return None, None
    relative = detectable(1.0, study.confirm.seeds, len(chosen) - 1)
    deviations = [paired(arm.scores, chosen[0].scores).spread.std for arm in chosen[1:]]
    variances = [deviation**2 for deviation in deviations if deviation is not None]
    if relative is None or not variances:
        return relative, None
    return relative, relative * statistics.fmean(variances) ** 0.5


def _arm(study: StudyConfig, record: Record) -> Arm:
    settings = record.config.model_dump(mode="json", include={*varied_fields(study)})
    return Arm(record.arm, settings, confirm_config(study, unseeded(record.config)), record.control)
