"""What can be said about a study's input before any trial starts."""

from __future__ import annotations

from simclip.errors import InputError
from simclip.inputs import check_inputs
from simclip.study.arms import corner_arms, planned_arms
from simclip.study.config import StudyConfig

#: The fields that decide what a run reads and whether it fits.
READ = {
    "train_tsv", "train_image_dir", "train_tables", "val_tsv", "val_image_dir", "evaluate", "caption_columns", "model",
    "pretrain", "batch_size", "metric",
}  # fmt: skip


def check_study(study: StudyConfig) -> None:
    """Look at every file that any arm would read, each kind of input once.

    Raises:
        InputError: The first thing that is wrong, naming the arm if others are right.
    """
    arms = corner_arms(study) if study.searcher == "optuna" else planned_arms(study)
    inputs = {arm.config.model_dump_json(include=READ): arm for arm in arms}
    for arm in inputs.values():
        try:
            check_inputs(arm.config, study.resources.workers)
        except InputError as error:
            raise error if len(inputs) == 1 else InputError(f"arm {arm.name}: {error}") from None
