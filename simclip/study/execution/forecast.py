"""The estimated cost of a study, before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from simclip.evaluation.items import most_bytes
from simclip.models.clip import check_lora_targets, check_model_folder
from simclip.study.analysis.comparison.planning import Outlook
from simclip.study.analysis.confirm import confirm_config, confirm_outlook, confirm_trial_count
from simclip.study.execution.budget import trials_left
from simclip.study.execution.cluster import result_of
from simclip.study.execution.preflight import arms_by_input
from simclip.study.execution.resources import Cluster, concurrency
from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.arms import Arm
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.probe import Costs, probe

#: Checkpoints of a running trial while one replaces the other.
CHECKPOINTS_PER_TRIAL = 2


@dataclass(frozen=True)
class Forecast:
    """An estimate from a few steps of one trial, without early stopping.

    Attributes:
        arms: The arms, each with the estimated seconds of one trial; for Optuna the extremes of its space.
        trials: Number of trials of both stages that are left to run.
        confirming: Number of those of the confirm stage.
        ended: Number of trials that have ended before.
        cut: Number of trials of the search that the budget leaves out.
        concurrency: Maximum number of trials at a time.
        probed: Name of the measured arm.
        costs: The measurements.
        preparation: Seconds to decode all images before the first trial.
        cpu_hours: CPU hours of all trials.
        gpu_hours: GPU hours of all trials.
        wall_hours: Hours by the clock at this concurrency.
        disk: Maximum bytes on disk.
        outlook: What to expect of the confirm stage; None if it has begun, or without one that gives a verdict.
    """

    arms: list[tuple[Arm, float]]
    trials: int
    confirming: int
    ended: int
    cut: int
    concurrency: int
    probed: str
    costs: Costs
    preparation: float
    cpu_hours: float
    gpu_hours: float
    wall_hours: float
    disk: int
    outlook: Outlook | None


def check_models(study: StudyConfig) -> None:
    """Refuse models that cannot be trained and adapters without a layer, before anything is spent.

    Raises:
        InputError: A file is missing, the model belongs to a family that cannot be trained, or a target of LoRA names
            none of its layers.
    """
    for arm in arms_by_input(study):
        check_model_folder(arm.config.model, needs_weights=not arm.config.pretrain)
    runs = [arm.config for arm in foreseen_arms(study)]
    targets = {(run.model, tuple(run.lora_targets), run.freeze) for run in runs if run.lora_rank and run.lora_targets}
    for each in sorted(targets):
        check_lora_targets(*each)


def forecast(study: StudyConfig, cluster: Cluster, records: Mapping[str, Record] | None = None) -> Forecast:
    """Measure a few steps of the most expensive arm on the cluster, and extrapolate to all trials.

    That is the arm with the largest clusters, if possible one without a frozen tower.

    Args:
        study: The study, with its resources filled in.
        cluster: The connected cluster.
        records: The trials that have begun; those that have ended cost nothing more.
    """
    arms = foreseen_arms(study)
    probed = max(arms, key=lambda arm: (arm.config.has_clusters * arm.config.cluster_size, arm.config.freeze == "none"))
    resources = study.resources
    task: Any = ray.remote(probe).options(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)
    costs: Costs = result_of(task.remote(probed.config, resources.workers, resources.gpus or 0.0))

    timed = [(arm, costs.seconds(arm.config, probed.config.batch_size)) for arm in arms]
    mean = sum(seconds for _, seconds in timed) / len(timed)
    controls = sum(arm.is_control for arm in arms)
    at_a_time = concurrency(study, cluster)
    left = trials_left(study, records or {}, mean, at_a_time)
    trials = left.search + left.confirming
    at_a_time = max(1, min(at_a_time, trials))
    hours = trials * mean / 3600
    checkpoint = costs.checkpoint + costs.model  # measured where the best epoch is the last, which share a file
    models = models_at_once(study, at_a_time, len(arms) - controls)
    tested = confirm_config(study, probed.config).evaluation_sets if left.confirming else []
    items = left.confirming * sum(most_bytes(each.read(probed.config.reading)) for each in tested)
    begun = any(record.stage == "confirm" for record in (records or {}).values())
    return Forecast(
        arms=timed,
        trials=trials,
        confirming=left.confirming,
        ended=left.ended,
        cut=left.cut,
        concurrency=at_a_time,
        probed=probed.name,
        costs=costs,
        preparation=costs.preparation(probed.config, max(1, int(cluster.cpus))),
        cpu_hours=hours * resources.workers * (resources.cpus or 1),
        gpu_hours=hours * resources.workers * (resources.gpus or 0),
        wall_hours=hours / at_a_time,
        disk=at_a_time * CHECKPOINTS_PER_TRIAL * checkpoint + models * costs.model + items,
        outlook=None if begun or not left.confirming else confirm_outlook(study, len(arms) - controls),
    )


def models_at_once(study: StudyConfig, concurrency: int, others: int) -> int:
    """Maximum number of models that the results hold at a time, without those in checkpoints.

    Besides the leading arms, the search keeps arms of which some seeds still run, and the confirm stage its own.

    Args:
        study: The study.
        concurrency: Maximum number of trials at a time.
        others: Number of arms besides controls.
    """
    confirmed = confirm_trial_count(study, others)
    if not study.keeps_all_confirmed:
        confirmed //= max(1, len(study.confirm_seeds))
    return study.keep_models + max(concurrency, confirmed)
