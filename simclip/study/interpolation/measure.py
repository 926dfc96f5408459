"""Evaluate the models between a base model and those that trials of the confirm stage began with it; write one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from simclip.errors import InputError
from simclip.evaluation.items import Share, items_bytes
from simclip.evaluation.objective import objective
from simclip.evaluation.sets import LoadedSet, evaluate
from simclip.models.caching_encoder import CachingEncoder
from simclip.models.clip import load_clip
from simclip.models.encoder import Encoder
from simclip.models.weights import between
from simclip.runtime.device import Compute
from simclip.runtime.files import write_bytes_atomically
from simclip.runtime.scratch import scratch_folder
from simclip.runtime.workers import Workers
from simclip.study.interpolation.points import alpha_folder, key_of
from simclip.study.store import layout
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record
from simclip.train.config import TrainConfig
from simclip.train.load import load_evaluation_sets, load_model


class BaseModel:
    """The model that runs begin with, whose weights can be moved towards those of a trained one.

    Args:
        config: One of the runs.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        self.clip = load_model(config.model_copy(update={"lora_rank": 0, "gradient_checkpointing": False}))
        self._weights = {name: weight.clone() for name, weight in self.clip.model.state_dict().items()}
        self._compute = Compute.choose(config.precision)
        nn.Module.to(self.clip.model, self._compute.device)

    def move(self, tuned: dict[str, torch.Tensor], alpha: float) -> None:
        """Take the weights between the base model's and others, from alpha 0 to 1.

        Raises:
            ValueError: The models differ in shape.
        """
        self.clip.model.load_state_dict(between(self._weights, tuned, alpha))

    def scores(self) -> dict[str, float]:
        """The metrics of the weights as they are on all sets of the run; shares know their items."""
        config = self.config
        encoder = Encoder(
            self.clip,
            self._compute,
            Workers.current(),
            config.val_batch_size,
            config.data_workers,
            config.embed_batch_size,
        )
        return evaluate(self._sets, CachingEncoder(encoder))

    @cached_property
    def _sets(self) -> list[LoadedSet]:
        return load_evaluation_sets(self.config, self.clip)


def measure(folder: StudyFolder, trials: dict[str, Record], missing: dict[str, list[float]]) -> Iterator[None]:
    """Evaluate models between those of trials and their base models, and put them on record, one after the other.

    Args:
        folder: The study's results.
        trials: The trials by name.
        missing: The alphas of each trial, from `missing_points`.

    Raises:
        InputError: A model cannot be loaded, or differs from its base model in shape.
    """
    key, base = "", None
    for name, alphas in missing.items():
        record = trials[name]
        if base is None or key != key_of(record.config):
            key, base = key_of(record.config), BaseModel(record.config)
        tuned = _weights_of(folder, name)
        for alpha in alphas:
            begin = time.monotonic()
            _move(base, name, tuned, alpha)
            _write(folder, record, alpha, base.scores(), begin)
            yield
        folder.push()


def write_model(folder: StudyFolder, record: Record, alpha: float, target: Path) -> None:
    """Write the model between a trial's and its base model as an ordinary model folder.

    Raises:
        InputError: A model cannot be loaded, or they differ in shape.
    """
    base = BaseModel(record.config)
    _move(base, record.trial, _weights_of(folder, record.trial), alpha)
    base.clip.save(target)


def _weights_of(folder: StudyFolder, trial: str) -> dict[str, torch.Tensor]:
    with scratch_folder() as scratch:
        model = folder.storage.fetch(f"{layout.MODELS}/{trial}/best", scratch)
        return load_clip(str(model)).model.state_dict()


def _move(base: BaseModel, trial: str, tuned: dict[str, torch.Tensor], alpha: float) -> None:
    try:
        base.move(tuned, alpha)
    except ValueError as error:
        raise InputError(
            f"the model of {trial} and its base model {base.config.model} are not of the same shape ({error}): put the "
            "model there that the study began with"
        ) from None


def _write(folder: StudyFolder, record: Record, alpha: float, scores: dict[str, float], begin: float) -> None:
    """Put a model's scores on record as those of the trial's best epoch; its test items come first."""
    there, epoch = alpha_folder(folder, alpha), (record.best or {})["epoch"]
    items = {name: score.parts for name, score in scores.items() if isinstance(score, Share)}
    write_bytes_atomically(there / f"{record.trial}{layout.ITEMS}", items_bytes(epoch, items))
    values = {name: float(score) for name, score in scores.items()}
    seconds = time.monotonic() - begin
    row = {"epoch": epoch, "metric": objective(record.config.metric, values), **values, "seconds": seconds}
    replace(record, history=[record.history[0], row], seconds=seconds).write(there)
