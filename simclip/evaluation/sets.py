"""Evaluation sets: read and checked once, then scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from simclip.config.training import ClassificationSet, EvaluationSet, PairsSet, RetrievalSet, TrainConfig
from simclip.data.caption_pairs import NegativePairs, read_negative_pairs
from simclip.data.image_store import open_pictures
from simclip.data.images import Pictures
from simclip.data.pair_table import read_table
from simclip.data.tokens import Tokens, tokenise
from simclip.errors import InputError
from simclip.evaluation.classification import class_embeddings, zero_shot_metrics
from simclip.evaluation.metrics import METRICS
from simclip.evaluation.pairs import pair_metric_names, pair_metrics
from simclip.evaluation.retrieval import contrastive_loss_metric, recall_metrics
from simclip.models.caching_encoder import EncodedOnce
from simclip.models.clip import Clip
from simclip.models.encoder import Encoder


@dataclass(frozen=True, eq=False)
class LoadedSet(ABC):
    """An evaluation set, ready to be scored.

    Attributes:
        name: What its metrics' names begin with.
        every: Epochs from one evaluation to the next.
        metrics: Their names.
        images: Every image, cropped.
        tokens: Every caption or prompt.
        links: What belongs to what: any int64 array that says so.
    """

    name: str
    every: int
    metrics: tuple[str, ...]
    images: Pictures
    tokens: Tokens
    links: np.ndarray

    @abstractmethod
    def scores(self, images: torch.Tensor, captions: torch.Tensor, clip: Clip) -> dict[str, float]:
        """The metrics, from the embeddings of all images and captions."""

    @property
    def metric_names(self) -> list[str]:
        """Of a run: <set>/<metric>."""
        return [f"{self.name}/{metric}" for metric in self.metrics]

    def score(self, encoder: Encoder | EncodedOnce) -> dict[str, float]:
        """Every metric of the set."""
        images = encoder.images(self.images, len(self.images))
        return self.scores(images, encoder.texts(self.tokens, np.arange(len(self.tokens))), encoder.clip)


@dataclass(frozen=True, eq=False)
class Retrieval(LoadedSet):
    """Image-caption pairs; the links are the image of each caption."""

    batch_size: int

    def scores(self, images: torch.Tensor, captions: torch.Tensor, clip: Clip) -> dict[str, float]:
        """Recalls both ways with all captions, and the loss with the model's logit scale."""
        owner, scale = torch.from_numpy(self.links), clip.model.logit_scale.exp().item()
        loss = contrastive_loss_metric(images, captions, owner, scale, self.batch_size)
        return {**recall_metrics(images, captions, owner), "loss": loss}


@dataclass(frozen=True, eq=False)
class Classification(LoadedSet):
    """Labelled images and the prompts of their classes, class after class; the links are the labels."""

    def scores(self, images: torch.Tensor, captions: torch.Tensor, clip: Clip) -> dict[str, float]:
        """Zero-shot accuracy."""
        labels = torch.from_numpy(self.links)
        prompts = captions.view(int(labels.max()) + 1, -1, captions.shape[1])
        return zero_shot_metrics(images, labels, class_embeddings(prompts))


@dataclass(frozen=True, eq=False)
class Pairs(LoadedSet):
    """Images, their captions, then as many negative captions; the links are the images' categories."""

    names: list[str]

    def scores(self, images: torch.Tensor, captions: torch.Tensor, clip: Clip) -> dict[str, float]:
        """Accuracy by category."""
        true, false = captions.chunk(2)
        return pair_metrics(images, true, false, torch.from_numpy(self.links), self.names)


def load_sets(config: TrainConfig, clip: Clip) -> Sequence[LoadedSet]:
    """Read every evaluation set of a run.

    Raises:
        InputError: A file, folder or image of a set is missing or wrong.
    """
    return [_load(each, config, clip) for each in config.evaluation_sets]


def _load(source: EvaluationSet, config: TrainConfig, clip: Clip) -> LoadedSet:
    def pictures(paths: Sequence[Path]) -> Pictures:
        return open_pictures(paths, clip.image_size, clip.transform, config.image_store)

    def tokens(captions: Sequence[str]) -> Tokens:
        return tokenise(clip.tokenizer, captions, clip.max_tokens)

    if isinstance(source, RetrievalSet):
        table = read_table(source.tsv, source.image_dir, config.caption_columns)
        images, captions, links = pictures(table.images), tokens(table.captions), table.row_of_caption
        return Retrieval(
            source.name, source.every, METRICS["retrieval"], images, captions, links, config.val_batch_size
        )
    if isinstance(source, PairsSet):
        pairs = read_pairs(source)
        images, captions = pictures(pairs.images), tokens([*pairs.captions, *pairs.negatives])
        names = pairs.category_names
        links = np.array([names.index(each) for each in pairs.categories])
        return Pairs(source.name, source.every, pair_metric_names(names), images, captions, links, names)
    classes = class_folders(source)
    called = [source.class_names.get(folder.name, folder.name.replace("_", " ")) for folder in classes]
    prompts = [template.replace("{}", name) for name in called for template in source.templates]
    labels = np.array([label for label, folder in enumerate(classes.values()) for _ in folder])
    images = pictures([path for folder in classes.values() for path in folder])
    return Classification(source.name, source.every, METRICS["classification"], images, tokens(prompts), labels)


def read_pairs(source: PairsSet) -> NegativePairs:
    """The rows of a set of pairs.

    Raises:
        InputError: A file or image is missing or wrong, or a category has the name of a metric.
    """
    try:
        pairs = read_negative_pairs(source.files, source.image_dir)
    except InputError as error:
        raise InputError(f"evaluation set {source.name!r}: {error}") from None
    taken = {name for names in METRICS.values() for name in names}
    if doubled := [name for name in pairs.category_names if name in taken]:
        raise InputError(f"evaluation set {source.name!r}: category {doubled[0]!r} is a metric's name: choose another")
    return pairs


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
    """Every metric that a run reports, as <set>/<metric>; those of pairs are known from their files alone.

    Raises:
        InputError: See `read_pairs`.
    """
    return [
        f"{each.name}/{metric}"
        for each in config.evaluation_sets
        for metric in (
            pair_metric_names(read_pairs(each).category_names) if isinstance(each, PairsSet) else METRICS[each.kind]
        )
    ]


def evaluated(sets: Sequence[LoadedSet], encoder: Encoder | EncodedOnce) -> dict[str, float]:
    """Every metric of some sets, by <set>/<metric>."""
    return {f"{each.name}/{name}": value for each in sets for name, value in each.score(encoder).items()}
