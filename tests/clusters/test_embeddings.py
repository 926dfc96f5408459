"""What similarity is measured on: which captions and pictures, when anew and when from the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simclip.clusters.embeddings import Limits, offline_embeddings, offline_neighbours, similarity_embeddings
from simclip.clusters.neighbours import ListedNeighbours, Neighbours
from simclip.clusters.plan import Recipe, plan_epoch
from simclip.data.tokens import clean_caption
from simclip.data.training_set import TrainingData
from simclip.models.encoder import Encoder
from simclip.runtime.cache import cache_folder
from simclip.runtime.device import Compute
from simclip.runtime.workers import Workers
from simclip.train.config import TrainConfig
from simclip.train.load import load_data, load_model


def opened(config: TrainConfig) -> tuple[TrainConfig, TrainingData, Encoder]:
    clip = load_model(config)
    return (
        config,
        load_data(config, clip),
        Encoder(clip, Compute.choose(config.precision), Workers(), batch_size=7),
    )


def changed(config: TrainConfig, **changes: Any) -> TrainConfig:
    return config.model_copy(update=changes)


def offline(config: TrainConfig) -> tuple[np.ndarray, set[str]]:
    """The embeddings and the names of all cached ones."""
    config, data, encoder = opened(config)
    return offline_embeddings(config.similarity, data, encoder), {
        path.name for path in cache_folder().glob("similarity-*.npy")
    }


def test_text_is_the_caption_of_the_epoch_as_transformers_embeds_it(config: TrainConfig) -> None:
    config, data, encoder = opened(config)
    embeddings = similarity_embeddings("text", data, encoder, config.seed, epoch=1)
    assert embeddings.shape == (40, 32) and embeddings.dtype == np.float32
    drawn = data.drawn_captions(config.seed, 1, np.arange(40))
    captions = [clean_caption(data.table.captions[number]) for number in drawn]
    inputs = encoder.clip.tokenizer(captions, return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = encoder.clip.model.get_text_features(**inputs).pooler_output
    expected = expected / expected.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(embeddings, expected.numpy(), atol=1e-5)


def test_each_row_has_one_of_its_own_captions_and_another_in_other_epochs(config: TrainConfig) -> None:
    _, data, _ = opened(config)
    rows = np.arange(40)
    drawn = np.stack([data.drawn_captions(1, epoch, rows) for epoch in range(50)])
    assert ((data.table.starts[:-1] <= drawn) & (drawn < data.table.starts[1:])).all()
    assert (np.bincount(drawn.ravel() - np.tile(data.table.starts[:-1], 50), minlength=3) > 500).all()  # of 2000, three
    assert (drawn[:, ::-1] == np.stack([data.drawn_captions(1, e, rows[::-1]) for e in range(50)])).all()


def test_online_text_differs_by_epoch_and_seed_but_images_do_not(config: TrainConfig) -> None:
    config, data, encoder = opened(config)
    texts = [similarity_embeddings("text", data, encoder, config.seed, epoch) for epoch in (0, 1, 0)]
    assert not np.array_equal(texts[0], texts[1])
    assert np.array_equal(texts[0], texts[2])
    assert not np.array_equal(texts[0], similarity_embeddings("text", data, encoder, 2, 0))
    pictures = [similarity_embeddings("image", data, encoder, config.seed, epoch) for epoch in (0, 1)]
    assert np.array_equal(pictures[0], pictures[1])


def test_offline_is_made_once_for_every_trial_of_the_same_weights(config: TrainConfig) -> None:
    first, files = offline(config)
    assert len(files) == 1
    stamp = [path.stat().st_mtime_ns for path in cache_folder().iterdir()]
    for changes in ({"seed": 7}, {"cluster_size": 2}, {"learning_rate": 0.1}, {"epochs": 9}):
        again, same = offline(changed(config, **changes))
        assert np.array_equal(first, again)
        assert same == files
    assert [path.stat().st_mtime_ns for path in cache_folder().iterdir()] == stamp


def test_offline_captions_are_those_of_seed_0(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, data, encoder = opened(config)
    expected = similarity_embeddings("text", data, encoder, 0, epoch=0)
    for seed in (1, 7):
        monkeypatch.setenv("SIMCLIP_CACHE", str(tmp_path / str(seed)))
        assert np.array_equal(offline(changed(config, seed=seed))[0], expected)


@pytest.fixture
def own_pairs(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """The training pairs in a folder that a test may change."""
    assert config.train_tsv and config.train_image_dir
    shutil.copytree(config.train_image_dir, tmp_path / "images")
    shutil.copy(config.train_tsv, tmp_path / "train.tsv")
    return changed(config, train_tsv=tmp_path / "train.tsv", train_image_dir=tmp_path / "images")


def test_offline_is_made_anew_for_other_weights_captions_and_modality(own_pairs: TrainConfig) -> None:
    config = own_pairs
    _, files = offline(config)
    assert config.train_tsv
    variants = [changed(config, similarity="image"), changed(config, pretrain=True), changed(config, precision="bf16")]
    for count, variant in enumerate(variants, start=2):
        assert len(offline(variant)[1]) == count
    config.train_tsv.write_text(config.train_tsv.read_text().replace("red left", "left red"))
    assert len(offline(config)[1]) == 5
    assert files < offline(config)[1]


def test_offline_images_are_made_anew_when_a_picture_changes_under_its_name(own_pairs: TrainConfig) -> None:
    config = changed(own_pairs, similarity="image")
    before, files = offline(config)
    assert config.train_image_dir
    Image.new("RGB", (50, 50), "yellow").save(config.train_image_dir / "003.png")
    after, more = offline(config)
    assert files < more
    assert [row for row in range(40) if not np.allclose(before[row], after[row], atol=1e-5)] == [3]


def test_offline_images_of_two_folders_are_not_taken_for_each_other(
    own_pairs: TrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Relative paths, the same in two working folders."""
    config = changed(own_pairs, similarity="image", train_tsv=Path("train.tsv"), train_image_dir=Path("images"))
    monkeypatch.chdir(tmp_path)
    offline(config)
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "images", other / "images", copy_function=shutil.copy2)
    shutil.copy(tmp_path / "train.tsv", other)
    stamp = (tmp_path / "images" / "003.png").stat()
    pixels = Image.open(other / "images" / "003.png").transpose(Image.Transpose.ROTATE_180)
    pixels.save(other / "images" / "003.png")
    os.utime(other / "images" / "003.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    monkeypatch.chdir(other)
    assert len(offline(config)[1]) == 2


@pytest.mark.parametrize("most", [None, 0.999])
def test_lists_made_once_plan_the_same_as_ranking_anew(config: TrainConfig, most: float | None) -> None:
    config, data, encoder = opened(changed(config, embeddings="offline", max_similarity=most, cluster_size=2))
    recipe = Recipe(config.batch_size, config.proportion, config.cluster_size, config.neighborhood)

    def neighbours(batches: int) -> Neighbours:
        made = offline_neighbours("text", data, encoder, recipe, batches, Limits(most))
        assert made is not None
        return made

    listed = neighbours(300)
    assert isinstance(listed, ListedNeighbours)
    made = {path.name: path.stat().st_mtime_ns for path in cache_folder().glob("neighbours-*.npy")}
    assert len(made) == 1
    again = neighbours(300)
    assert {path.name: path.stat().st_mtime_ns for path in cache_folder().glob("neighbours-*.npy")} == made
    few = neighbours(3)
    assert not isinstance(few, ListedNeighbours)
    plans = [
        np.stack(list(plan_epoch(Recipe(8, 1.0, 2), each, len(data), 5, 1, 0))).tolist()
        for each in (listed, again, few)
    ]
    assert plans[0] == plans[1] == plans[2]
