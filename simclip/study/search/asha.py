"""ASHA, which stops trials early, made fair: not while p warms up, and never a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from simclip.study.search.searcher import EPOCH, METRIC
from simclip.study.spec.arms import Arm, foreseen_arms
from simclip.study.spec.study import StudyConfig


def scheduler(study: StudyConfig) -> tuple[TrialScheduler | None, str | None]:
    """ASHA if the study wants it and it is fair to the arms.

    As long as p warms up, an arm looks like its control, and a rung before the end of it would rank unfairly.

    Returns:
        The scheduler or None, and a line that says why ASHA is off although it was asked for, or None.
    """
    if study.scheduler == "none":
        return None, None
    arms = foreseen_arms(study)
    warmed = max(arms, key=lambda arm: arm.config.warm_after)
    grace = first_rung(study, arms)
    shortest, longest = (best(arm.config.epochs for arm in arms) for best in (min, max))
    if 2 * grace > shortest:
        reason = f"p of {warmed.name} still changes" if grace > study.asha.grace_period else "its grace_period lasts"
        return None, f"ASHA is off: {reason} up to epoch {grace} of {shortest}, which leaves less than half to save"
    return _Asha(study, grace, longest), None


def first_rung(study: StudyConfig, arms: Sequence[Arm]) -> int:
    """Epochs finished when ASHA may first decide: grace_period, or more as long as an arm's p warms up."""
    return max(study.asha.grace_period, *(arm.config.warm_after for arm in arms))


class _Asha(ASHAScheduler):
    """ASHA that stops no control, and nothing that has reached its last epoch anyway."""

    def __init__(self, study: StudyConfig, grace: int, epochs: int):
        super().__init__(
            time_attr=EPOCH,  # training_iteration restarts when a trial does
            metric=METRIC,
            mode=study.mode,
            max_t=epochs,
            grace_period=grace,
            reduction_factor=study.asha.reduction_factor,
            stop_last_trials=False,
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record every result at its rung; the others are measured against controls too."""
        decision = super().on_trial_result(tune_controller, trial, result)
        finished = result[EPOCH] >= trial.config["train"]["epochs"]
        return TrialScheduler.CONTINUE if trial.config["control"] or finished else decision
