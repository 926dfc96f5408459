"""Checks of a study's input before any trial starts; they need neither torch nor Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from simclip.data.members import stamps
from simclip.data.pair_table import read_training_tables
from simclip.data.picture_file import picture_stamps, unreadable
from simclip.errors import InputError
from simclip.runtime.files import write_atomically
from simclip.study.analysis.confirm import confirm_config
from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.arms import Arm
from simclip.study.spec.single_run import SingleRun
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import fields_of, settings_of
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.train.config import TrainConfig
from simclip.train.preflight import check_inputs, check_metric

#: Values of WANDB_MODE that turn tracking with Weights & Biases on and off.
WANDB_ON, WANDB_OFF = ("online", "offline", "shared"), ("disabled", "dryrun")


def check_study(study: StudyConfig) -> list[str]:
    """Check the input of every arm, each distinct input once, and the variables that turn trackers on.

    Returns:
        Warnings of evaluation images that are trained on, by name alone.

    Raises:
        InputError: The first error, with the name of the arm if there are several inputs.
    """
    check_wandb_mode(os.environ)
    _check_unused(study)
    inputs, warnings = arms_by_input(study), []
    for arm in inputs:
        try:
            warnings += check_inputs(arm.config, study.resources.workers)
            if study.test:
                check_metric(arm.config, study.confirmed_metric, "test_metric")
        except InputError as error:
            raise error if len(inputs) == 1 else InputError(f"arm {arm.name}: {error}") from None
    return list(dict.fromkeys(warnings))


def _check_unused(study: StudyConfig) -> None:
    """Refuse a method of batches, or a limit on neighbours, that no arm with clusters has.

    Raises:
        InputError: There is one.
    """
    arms = [] if isinstance(study, SingleRun) else foreseen_arms(study)
    for name in ("batching", *study.train.limits) if arms else ():
        set_by = {key: each for key, each in study.parameters.items() if name in fields_of(key, each)}
        given = [settings_of(key, value)[name] for key, each in set_by.items() for value in each.ends]
        used = [getattr(arm.config, name) for arm in arms if arm.config.has_clusters]
        for value in given or [getattr(study.train, name)]:
            if value not in (TrainConfig.model_fields[name].default, *used):
                raise InputError(f"{name} {value} has no effect, since no arm with it has clusters: set proportion "
                                 f"above 0 and cluster_size above 1, or leave {name} out")  # fmt: skip


def check_wandb_mode(environment: Mapping[str, str]) -> None:
    """Refuse a mistyped mode of Weights & Biases.

    Raises:
        InputError: WANDB_MODE is set to a word that W&B does not know.
    """
    mode = environment.get("WANDB_MODE", "")
    if mode not in ("", *WANDB_ON, *WANDB_OFF):
        raise InputError(f"WANDB_MODE={mode}: expected online, offline, shared, disabled or dryrun")


def prepare_study(study: StudyConfig) -> list[str]:
    """Load model and data as the trials will, and cache what they share.

    Returns:
        Lines about data that were left out or shortened.

    Raises:
        InputError: The model or the data are wrong.
    """
    from simclip.train.precompute import prepare  # imports torch and transformers

    return list(dict.fromkeys(line for arm in arms_by_input(study) for line in prepare(arm.config)))


def refuse_other_reading(study: StudyConfig, folder: StudyFolder) -> None:
    """Refuse to add to results of a version that read the data in another way: without merging, scaling and white.

    Those results lack the field `exif`, which is as old as today's way of reading.

    Raises:
        InputError: There are such results, and the data have repeated images, or pictures of 16 bits or transparency.
    """
    earlier = folder.recorded()
    if earlier is None or "train.exif" in earlier:
        return
    for config in (arm.config for arm in arms_by_input(study)):
        table = read_training_tables(config.tables, config.reading)
        sets = [each.read(config.reading) for each in config.evaluation_sets]
        pictures = [table.images, *(each.images for each in sets)]
        notes = [*table.notes, *(note for each in sets for note in each.notes)]
        if notes or any(picture_stamps(those, "ignore") != stamps(those) for those in pictures):
            what = notes[0] if notes else "pictures of 16 bits or with transparency"
            raise InputError(f"{folder.place()}: an earlier version measured these results, which read the data in "
                             f"another way ({what}): begin anew with --fresh, or look at them with report")  # fmt: skip


def write_left_out(study: StudyConfig, folder: StudyFolder) -> list[str]:
    """Write the training images that bad_images=skip leaves out, and why, to a file in the results.

    Returns:
        A line that says where; none if no image is left out.
    """
    skipping = [arm.config for arm in arms_by_input(study) if arm.config.bad_images == "skip"]
    bad: dict[str, str] = {}
    for config in skipping:
        table = read_training_tables(config.tables, config.reading)
        bad |= {**table.left_out, **{str(image): why for image, why in unreadable(table.images).items()}}
    if not bad:
        return []
    lines = ["image\treason", *(f"{path}\t{why}" for path, why in bad.items())]
    write_atomically(folder.path / layout.LEFT_OUT, "\n".join(lines) + "\n")
    folder.push()
    return [
        f"{len(bad):,} images are left out of training; their names and the reasons: {folder.place(layout.LEFT_OUT)}"
    ]


def arms_by_input(study: StudyConfig) -> list[Arm]:
    """One arm per distinct input of the study; the test sets of the confirm stage count as input."""
    found, read = foreseen_arms(study), set(TrainConfig.fields_with("reads_data"))
    arms = [replace(arm, config=confirm_config(study, arm.config)) for arm in found]
    return list({arm.config.model_dump_json(include=read): arm for arm in arms}.values())
