"""What can be said about a study's input before any trial starts."""

from __future__ import annotations

from dataclasses import replace

from simclip.errors import InputError
from simclip.inputs import check_inputs
from simclip.prepare import prepare
from simclip.study.arms import Arm, corner_arms, planned_arms
from simclip.study.config import StudyConfig
from simclip.study.confirm import confirm_config

#: The fields that decide what a run reads and whether it fits.
READ = {
    "train_tsv", "train_image_dir", "train_tables", "val_tsv", "val_image_dir", "evaluate", "caption_columns", "model",
    "pretrain", "batch_size", "metric", "preprocessor", "bad_images", "image_store", "store_size",
}  # fmt: skip


def check_study(study: StudyConfig) -> None:
    """Look at every file that any arm would read, each kind of input once.

    Raises:
        InputError: The first thing that is wrong, naming the arm if others are right.
    """
    inputs = _inputs(study)
    for arm in inputs:
        try:
            check_inputs(arm.config, study.resources.workers)
        except InputError as error:
            raise error if len(inputs) == 1 else InputError(f"arm {arm.name}: {error}") from None


def prepare_study(study: StudyConfig) -> list[str]:
    """Make on this machine what all trials share, each kind of input once.

    Returns:
        Lines about what was left out or cut.

    Raises:
        InputError: Model or data are not as they should be.
    """
    return list(dict.fromkeys(line for arm in _inputs(study) for line in prepare(arm.config)))


def _inputs(study: StudyConfig) -> list[Arm]:
    """One arm for each kind of input that the study reads, the confirm stage's test sets included."""
    found = corner_arms(study) if study.searcher == "optuna" else planned_arms(study)
    arms = [replace(arm, config=confirm_config(study, arm.config)) for arm in found]
    return list({arm.config.model_dump_json(include=READ): arm for arm in arms}.values())
