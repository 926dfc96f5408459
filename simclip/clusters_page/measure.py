"""Embeds the rows of a study or table, and surveys the clusters that they form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from torch import nn

from simclip.clusters.embeddings import OFFLINE_SEED, offline_embeddings
from simclip.clusters.neighbours import Neighbours
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
        embeddings = offline_embeddings(config.similarity, data, encoder)
    limit = config.max_similarity
    found = survey(embeddings, recipe, limit, seed)
    skipped = config.skip_nearest
    made = examples(embeddings, recipe, found, limit, min(anchors, len(found.anchors)), seed, skipped)
    whole = Recipe(min(chosen.batch_size, len(data)), chosen.proportion, config.cluster_size, config.neighborhood)
    neighbours = Neighbours(embeddings, limit, compute.device, skip_nearest=skipped)
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
