"""Evaluation sets: read and checked once, scored after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from simclip.config import ClassificationSet, RetrievalSet, TrainConfig
from simclip.data.captions import CaptionTable, read_table
from simclip.data.image_store import open_pictures
from simclip.data.images import Pictures
from simclip.data.tokens import Tokens, tokenise
from simclip.encoder import Encoder
from simclip.errors import InputError
from simclip.evaluation.recall import KS, contrastive_loss_metric, recall_metrics
from simclip.evaluation.zero_shot import class_embeddings, zero_shot_metrics
from simclip.model import Clip

#: The metrics of each kind of set; in a run they are called <set>/<metric>.
METRICS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("mean_r1", *(f"{way}_r{k}" for way in ("t2i", "i2t") for k in KS), "loss"),
    "classification": ("top1", "top5"),
}


@dataclass(frozen=True)
class Retrieval:
    """Image-caption pairs, ready to be scored."""

    name: str
    table: CaptionTable
    tokens: Tokens
    images: Pictures
    batch_size: int

    def score(self, encoder: Encoder) -> dict[str, float]:
        """Recalls both ways with all captions, and the loss with the model's logit scale."""
        images = encoder.images(self.images, len(self.images))
        captions = encoder.texts(self.tokens, np.arange(len(self.tokens)))
        owner = torch.from_numpy(self.table.row_of_caption)
        scale = encoder.clip.model.logit_scale.exp().item()
        loss = contrastive_loss_metric(images, captions, owner, scale, self.batch_size)
        return {**recall_metrics(images, captions, owner), "loss": loss}


@dataclass(frozen=True)
class Classification:
    """Labelled images and the prompts of their classes, ready to be scored."""

    name: str
    images: Pictures
    labels: torch.Tensor
    prompts: Tokens
    classes: int

    def score(self, encoder: Encoder) -> dict[str, float]:
        """Zero-shot accuracy."""
        prompts = encoder.texts(self.prompts, np.arange(len(self.prompts)))
        classes = class_embeddings(prompts.view(self.classes, -1, prompts.shape[1]))
        return zero_shot_metrics(encoder.images(self.images, len(self.images)), self.labels, classes)


def load_sets(config: TrainConfig, clip: Clip) -> list[Retrieval | Classification]:
    """Read every evaluation set of a run.

    Raises:
        InputError: A file, folder or image of a set is missing or wrong.
    """
    sets: list[Retrieval | Classification] = []
    for each in config.evaluation_sets:
        if isinstance(each, RetrievalSet):
            table = read_table(each.tsv, each.image_dir, config.caption_columns)
            tokens = tokenise(clip.tokenizer, table.captions, clip.max_tokens)
            images = open_pictures(table.images, clip.image_size, clip.transform, config.image_store)
            sets.append(Retrieval(each.name, table, tokens, images, config.val_batch_size))
        else:
            sets.append(_classification(each, config, clip))
    return sets


def _classification(source: ClassificationSet, config: TrainConfig, clip: Clip) -> Classification:
    classes = class_folders(source)
    names = [source.class_names.get(folder.name, folder.name.replace("_", " ")) for folder in classes]
    prompts = [template.format(name) for name in names for template in source.templates]
    paths = [path for folder in classes.values() for path in folder]
    labels = torch.tensor([label for label, folder in enumerate(classes.values()) for _ in folder])
    tokens = tokenise(clip.tokenizer, prompts, clip.max_tokens)
    images = open_pictures(paths, clip.image_size, clip.transform, config.image_store)
    return Classification(source.name, images, labels, tokens, len(classes))


def class_folders(source: ClassificationSet) -> dict[Path, list[Path]]:
    """The images of every class folder, both in the order of their names.

    Raises:
        InputError: The folder or its classes are missing, a class has no images, or a template no `{}`.
    """
    where = f"evaluation set {source.name!r}"
    if not source.image_dir.is_dir():
        raise InputError(f"{where}: no such folder: {source.image_dir}; it holds one folder of images per class")
    for template in source.templates:
        if template.count("{}") != 1:
            raise InputError(f"{where}: template {template!r} needs one {{}} where the class name goes")
    folders = sorted(folder for folder in source.image_dir.iterdir() if folder.is_dir())
    if len(folders) < 2:
        raise InputError(f"{where}: {source.image_dir} has {len(folders)} class folders; two or more are needed")
    known = tuple(Image.registered_extensions())
    classes = {folder: sorted(p for p in folder.iterdir() if p.suffix.lower() in known) for folder in folders}
    for folder, images in classes.items():
        if not images:
            raise InputError(f"{where}: class folder {folder} has no images; fill or remove it")
    if unknown := set(source.class_names) - {folder.name for folder in folders}:
        raise InputError(f"{where}: class_names has {sorted(unknown)[0]!r}, which is no folder of {source.image_dir}")
    return classes


def metric_names(config: TrainConfig) -> list[str]:
    """Every metric that a run reports, as <set>/<metric>."""
    return [f"{each.name}/{metric}" for each in config.evaluation_sets for metric in METRICS[each.kind]]


def objective(metric: str | Mapping[str, float], scores: Mapping[str, float]) -> float:
    """The one figure that epochs, trials and arms are compared by: a metric, or a weighted mean of several."""
    weights = {metric: 1.0} if isinstance(metric, str) else metric
    return sum(weight * scores[name] for name, weight in weights.items()) / sum(weights.values())
