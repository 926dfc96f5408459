"""Checks of a run's input that need neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping

from simclip.clusters.methods import method_of
from simclip.config.explain import hint
from simclip.config.proportion import rows_per_worker
from simclip.config.schema import metric_weights
from simclip.data.pair_table import check_rows, read_training_tables
from simclip.errors import InputError
from simclip.models.model_folder import check_loss, check_model_files
from simclip.prepare.overlap import overlaps_by_name
from simclip.train.config import TrainConfig


def check_inputs(config: TrainConfig, workers: int = 1) -> list[str]:
    """Read tables and look for every file of a run; images are not decoded, models not loaded.

    Args:
        config: The run.
        workers: Number of workers that share its batch.

    Returns:
        Warnings of evaluation images that are trained on, by name alone.

    Raises:
        InputError: The first problem found.
    """
    check_metric(config)
    rows_per_worker(config.batch_size, workers)
    check_model_files(config.model, needs_weights=not config.pretrain)
    check_loss(config.model, config.loss, config.hardness)
    table = read_training_tables(config.tables, config.reading)
    check_rows(len(table), config.batch_size)
    if config.has_clusters:
        method_of(config.batching).check(len(table), config.batch_size, config.skip_nearest)
    sets = {each.name: each.read(config.reading).images for each in config.evaluation_sets}
    return overlaps_by_name(table.images, sets)


def check_metric(config: TrainConfig, metric: str | Mapping[str, float] | None = None, field: str = "metric") -> None:
    """Refuse an objective that no evaluation set reports.

    Args:
        config: The run.
        metric: The objective; by default the run's own.
        field: Name of its field, for the error message.

    Raises:
        InputError: There is no such metric, or no evaluation set.
    """
    known = [name for each in config.evaluation_sets for name in each.metric_names()]
    if not known:
        raise InputError(
            "no evaluation set: set train.val_tsv and train.val_image_dir (or train.evaluate), to choose the best run"
        )
    for name in metric_weights(metric or config.metric):
        if name not in known:
            raise InputError(f"{field} {name!r}: no evaluation set has it; {hint(name, known)}")
