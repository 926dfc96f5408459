"""When ASHA may stop trials early without being unfair to an arm: not before its p has warmed up."""

from __future__ import annotations

from collections.abc import Sequence

from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.arms import Arm
from simclip.study.spec.study import StudyConfig


def first_rung(study: StudyConfig, arms: Sequence[Arm]) -> int:
    """The epoch after which ASHA may first stop a trial: grace_period, or later while the p of an arm warms up.

    During its warm-up an arm resembles its control, and an earlier rung would rank it unfairly.
    """
    return max(study.asha.grace_period, *(arm.config.warm_after for arm in arms))


def uses_asha(study: StudyConfig) -> bool:
    """Whether ASHA stops trials of this study: it is asked for, and saves enough."""
    return study.scheduler == "asha" and why_off(study) is None


def why_off(study: StudyConfig) -> str | None:
    """One line that says why ASHA is off although the study asks for it; None if it is on or not asked for."""
    if study.scheduler != "asha":
        return None
    arms = foreseen_arms(study)
    grace, shortest = first_rung(study, arms), min(arm.config.epochs for arm in arms)
    if 2 * grace <= shortest:
        return None
    warmed = max(arms, key=lambda arm: arm.config.warm_after)
    reason = f"p of {warmed.name} still changes" if grace > study.asha.grace_period else "its grace_period lasts"
    return f"ASHA is off: {reason} up to epoch {grace} of {shortest}, which leaves less than half to save"
