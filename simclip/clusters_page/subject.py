"""What the clusters page is about: data, model and cluster fields, from a study or from a table and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.config.uris import is_uri
from simclip.data.sources import SOURCES, is_table
from simclip.demo.dataset import ensure_dataset
from simclip.errors import InputError
from simclip.study.search.plan import foreseen_arms
from simclip.study.spec.single_run import SingleRun
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import DEMO_DATA, load_with_data
from simclip.train.config import TrainConfig


@dataclass(frozen=True)
class Subject:
    """What the clusters page is about.

    Attributes:
        name: Title of the page.
        config: Data, model and cluster fields.
        folder: The study's results; None for a study file or a table.
        batch_size: N of the training whose coverage is counted, at most all rows.
        proportion: Its final p, 1 if it has no clusters.
    """

    name: str
    config: TrainConfig
    folder: StudyFolder | None = None
    batch_size: int = TrainConfig.model_fields["batch_size"].default
    proportion: float = 1.0


def load_subject(place: str, image_dir: Path | None, fields: Mapping[str, Any]) -> Subject:
    """Read the subject of a page.

    Args:
        place: A results folder or its URI, a study file, or a table.
        image_dir: Folder of the table's images; by default its own.
        fields: Training fields that replace the study's; None keeps the study's.

    Raises:
        InputError: The place does not exist, or the fields do not fit together.
    """
    path = Path(place)
    if is_table(place):
        return Subject(
            path.name, _with(TrainConfig.model_validate({"train_tsv": place, "train_image_dir": image_dir}), fields)
        )
    if not is_uri(place) and path.suffix.lower() not in (".yaml", ".yml") and not path.is_dir():
        if not path.is_file():
            raise InputError(
                f"{place}: no such folder or file; give a study's results folder, a study file, or a table"
            )
        raise InputError(f"{place}: expected a study file (.yaml) or a table of pairs ({', '.join(SOURCES)})")
    if image_dir is not None:
        raise InputError(f"--image-dir is for a table; {place} is a study and names its own data")
    folder = None if path.suffix.lower() in (".yaml", ".yml") else StudyFolder.at(place)
    study = load_with_data(path) if folder is None else folder.study()
    largest = _largest(study)
    config = _with(largest, fields)
    if DEMO_DATA in config.model_dump_json():
        ensure_dataset()
    return Subject(study.name, config, folder, largest.batch_size, largest.final_proportion or 1.0)


def _largest(study: StudyConfig) -> TrainConfig:
    """The arm with the largest clusters, which contain those of the other arms."""
    if isinstance(study, SingleRun):
        return study.replicates[0].arm.config
    arms = foreseen_arms(study)
    return max(arms, key=lambda arm: arm.config.has_clusters * arm.config.cluster_size).config


def _with(config: TrainConfig, fields: Mapping[str, Any]) -> TrainConfig:
    """The configuration with other fields and without clusters in batches, so that k need not divide the batch size."""
    given = {name: value for name, value in fields.items() if value is not None}
    plain = {"batch_size": 2, "proportion": 0.0, "proportions": None, "image_store": "off", "epochs": 1}
    try:
        return TrainConfig.model_validate({**config.model_dump(), **plain, **given})
    except ValidationError as error:
        raise explain(error, "options", TrainConfig) from None
