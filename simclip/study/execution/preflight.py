"""Checks of a study's input before any trial starts; they need neither torch nor Ray."""

from __future__ import annotations

from dataclasses import replace

from simclip.errors import InputError
from simclip.study.analysis.confirm import confirm_config
from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.arms import Arm
from simclip.study.spec.study import StudyConfig
from simclip.train.config import TrainConfig
from simclip.train.preflight import check_inputs, check_metric


def check_study(study: StudyConfig) -> None:
    """Check the input of every arm, each distinct input once.

    Raises:
        InputError: The first error, with the name of the arm if there are several inputs.
    """
    inputs = arms_by_input(study)
    for arm in inputs:
        try:
            check_inputs(arm.config, study.resources.workers)
            if study.test:
                check_metric(arm.config, study.confirmed_metric, "test_metric")
        except InputError as error:
            raise error if len(inputs) == 1 else InputError(f"arm {arm.name}: {error}") from None


def prepare_study(study: StudyConfig) -> list[str]:
    """Load model and data as the trials will, and cache what they share.

    Returns:
        Lines about data that were left out or shortened.

    Raises:
        InputError: The model or the data are wrong.
    """
    from simclip.train.precompute import prepare  # imports torch and transformers

    return list(dict.fromkeys(line for arm in arms_by_input(study) for line in prepare(arm.config)))


def arms_by_input(study: StudyConfig) -> list[Arm]:
    """One arm per distinct input of the study; the test sets of the confirm stage count as input."""
    found, read = foreseen_arms(study), set(TrainConfig.fields_with("reads_data"))
    arms = [replace(arm, config=confirm_config(study, arm.config)) for arm in found]
    return list({arm.config.model_dump_json(include=read): arm for arm in arms}.values())
