"""Whole studies of made-up scores, search included, whose records the project's own analysis reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simclip.runtime.randomness import generator
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.results import StudyResults
from simclip.study.search.plan import planned_arms
from simclip.study.spec.arms import Stage, Trial
from simclip.study.spec.study import Confirm, StudyConfig
from simclip.study.store.records import Record

#: The search's arms, one per cluster size, and its seeds.
SIZES, SEEDS = (2, 4, 8, 16, 32), (1, 2)
#: Standard deviation of the differences seed by seed.
NOISE = 0.01


def whole_studies(confirm: Confirm, studies: int, gain: float, key: int) -> list[list[str]]:
    """The words about the confirmed arms of each study.

    Args:
        confirm: Its confirm stage, which takes the best arms of the search.
        studies: Number of studies.
        gain: The true difference of all arms from plain fine-tuning, in standard deviations of the differences.
        key: Key of the random numbers.
    """
    study = StudyConfig(
        name="toy",
        train={"batch_size": 64, "proportion": 0.5, "epochs": 1},
        parameters={"cluster_size": {"values": list(SIZES)}},
        seeds=list(SEEDS),
        confirm=confirm,
    )
    template = {arm.name: Record.of(Trial(arm, 1), []) for arm in planned_arms(study)}
    return [_words(study, template, gain, generator(key, "whole studies", number)) for number in range(studies)]


def _words(study: StudyConfig, template: Mapping[str, Record], gain: float, draw: np.random.Generator) -> list[str]:
    # Trials on the same seed share something; each has half of the variance of a difference for itself.
    shared = {seed: draw.normal(0, NOISE) for seed in (*study.seeds, *study.confirm_seeds)}

    def ended(arm: str, seed: int, stage: Stage) -> Record:
        record = template[arm]
        value = 0.4 + shared[seed] + draw.normal(0, NOISE / math.sqrt(2)) + (0.0 if record.control else gain * NOISE)
        rows = [{"epoch": 0, "metric": 0.1}, {"epoch": 1, "metric": value, "val/mean_r1": value}]
        return replace(record, seed=seed, stage=stage, history=rows, outcome="finished")

    records = {f"{arm}-s{seed}": ended(arm, seed, "search") for arm in template for seed in study.seeds}
    results = StudyResults(study, records)
    while left := [trial for trial in confirm_trials(results) if trial.name not in records]:
        records |= {trial.name: ended(trial.arm.name, trial.seed, "confirm") for trial in left}
        results = StudyResults(study, records)
    verdict = results.verdict
    assert verdict is not None and verdict.complete
    return [str(arm.word) for arm in verdict.arms if not arm.control]
