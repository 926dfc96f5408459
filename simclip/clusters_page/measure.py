"""Embeds the rows of a study or table, and surveys the clusters that they form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from torch import nn

from simclip.clusters.embeddings import OFFLINE_SEED, Limits, offline_neighbours
from simclip.clusters.plan import Recipe
from simclip.clusters.survey import examples, pairs, survey
from simclip.clusters_page.coverage import coverage_table
from simclip.clusters_page.duplicates import PageRow
from simclip.clusters_page.page import ClustersPage
from simclip.clusters_page.subject import Subject
from simclip.data.training_set import TrainingData
from simclip.errors import InputError
from simclip.models.encoder import Encoder
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.load import load_data, load_model


def survey_clusters(chosen: Subject, anchors: int, seed: int, console: Console) -> ClustersPage:
    """Embed the rows as an offline run would, and survey their clusters.

    Raises:
        InputError: The model or the data are wrong, or there are too few rows for such clusters.
    """
    config = chosen.config
    clip = load_model(config)
    data = load_data(config, clip)
    recipe = Recipe(2, 1.0, config.cluster_size, config.neighborhood)
    if anchors > len(data):
        raise InputError(f"--anchors {anchors}: there are {len(data)} rows")
    compute = Compute.choose(config.precision)
    nn.Module.to(clip.model, compute.device)
    encoder = Encoder(clip, compute, Workers(), config.val_batch_size, config.data_workers, config.embed_batch_size)
    with console.status(f"embedding {len(data):,} rows by {config.similarity}"):
        limits = Limits(**config.limits)
        neighbours = offline_neighbours(config.similarity, data, encoder, recipe, 0, limits, lists=False)
    assert neighbours is not None  # there is one worker, which plans
    embeddings = neighbours.embeddings
    found = survey(embeddings, recipe, config.max_similarity, seed)
    made = examples(neighbours, recipe, found, min(anchors, len(found.anchors)), seed)
    whole = Recipe(min(chosen.batch_size, len(data)), chosen.proportion, config.cluster_size, config.neighborhood)
    return ClustersPage(
        subject=chosen,
        rows=page_rows(data),
        survey=found,
        examples=made,
        pairs=pairs(embeddings, found),
        coverage=coverage_table(neighbours, whole, seed),
        seed=seed,
    )


def page_rows(data: TrainingData) -> Sequence[PageRow]:
    """Every row with the caption that offline similarity is measured on."""
    drawn = data.drawn_captions(OFFLINE_SEED, 0, np.arange(len(data)))
    return [PageRow(path, data.table.captions[c]) for path, c in zip(data.table.images, drawn, strict=True)]
