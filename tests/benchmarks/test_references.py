"""The references compute what the project computes: the benchmarks compare two ways to the same result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from simclip.clusters.plan import Recipe
from simclip.data.tokens import tokenise
from simclip.evaluation.kinds.retrieval import recall_metrics
from simclip.evaluation.sets import load_sets
from simclip.models.clip import Clip
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.load import load_data
from tests.benchmarks import ours, reference
from tests.benchmarks.data import read_columns, unit_vectors, write_pairs
from tests.benchmarks.rows import Row, speedup
from tests.benchmarks.table import as_json, markdown

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip() -> Clip:
    captions = [f"{a} on {b}, {n}" for a in ("red", "green", "blue") for b in ("white", "blue") for n in range(30)]
    return make_tiny_clip(captions, image_size=32, width=32, layers=1, most_tokens=24)


@pytest.fixture
def config(tmp_path: Path, clip: Clip) -> TrainConfig:
    clip.save(tmp_path / "clip")
    images = write_pairs(tmp_path, "train", 16).parent / "images"
    return TrainConfig(
        train_tsv=tmp_path / "train.tsv", train_image_dir=images, val_tsv=write_pairs(tmp_path, "val", 24),
        val_image_dir=images, model=str(tmp_path / "clip"), batch_size=8, val_batch_size=10, image_store="off",
    )  # fmt: skip


def test_the_same_anchors_get_the_same_neighbours() -> None:
    embeddings = unit_vectors(300, 16)
    recipe = Recipe(batch_size=48, proportion=1.0, cluster_size=6)
    for batch in ours.plan(recipe, embeddings, iterations=3):
        clusters = batch.reshape(-1, 6)
        theirs = reference.grow_clusters(torch.from_numpy(embeddings), clusters[:, 0].tolist(), 6)
        assert [set(cluster) for cluster in theirs] == [set(cluster) for cluster in clusters.tolist()]


def test_the_same_text_embeddings(clip: Clip) -> None:
    captions = ["red on white", "blue", "green on blue, 7", "white on red, 29 on green"]
    tokens = tokenise(clip.tokenizer, captions, clip.max_tokens)
    mine = ours.encoder(clip, TrainConfig(), CPU).texts(tokens, np.arange(4))
    seen: list[int] = []

    def picture(row: int) -> torch.Tensor:
        seen.append(row)
        return torch.zeros(1)

    theirs = reference.refresh(clip.model.eval(), clip.tokenizer, captions, picture, 3, clip.max_tokens)
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)
    assert seen == [0, 1, 2, 3]


def test_items_of_the_same_shape_and_range(config: TrainConfig, clip: Clip) -> None:
    data = load_data(config, clip)
    (batch,) = ours.batches(data, np.arange(8)[None])
    mine = ours.pixels(batch, clip, CPU)
    random = np.random.default_rng(0)
    items = [reference.training_item(p, random, 37, 32, clip.mean, clip.std) for p in data.table.images[:8]]
    theirs = torch.stack(items)
    assert mine.shape == theirs.shape
    assert mine.dtype == theirs.dtype
    # Other crops of the same pictures.
    torch.testing.assert_close(mine.mean(dim=(2, 3)), theirs.mean(dim=(2, 3)), atol=0.4, rtol=0)


def test_the_same_recalls() -> None:
    images, texts = (torch.from_numpy(unit_vectors(rows, 8)) for rows in (20, 60))
    images, texts = images.roll(1, 0), (texts + images.repeat(3, 1)) / 2
    owner = torch.arange(60) % 20
    theirs = reference.recalls(images, texts, (1, 5, 10))
    mine = recall_metrics(images, texts, owner, (1, 5, 10))
    assert len(theirs) == 6
    assert 0 < theirs["t2i_r1"] < theirs["t2i_r10"] < 1
    assert {name: mine[name] for name in theirs} == pytest.approx(theirs)


def test_evaluation_of_the_same_pictures_and_captions(config: TrainConfig, clip: Clip) -> None:
    (val,) = load_sets(config.evaluation_sets, clip.input_format, config.reading, config.image_store)
    mine = val.score(ours.encoder(clip, config, CPU))
    assert config.val_tsv and config.val_image_dir
    names, columns = read_columns(config.val_tsv)
    paths = [config.val_image_dir / name for name in names]
    theirs = reference.evaluate(
        clip.model.eval(), clip.tokenizer, columns,
        lambda row: reference.evaluation_item(paths[row], 32, clip.mean, clip.std), 8, tokens=clip.max_tokens,
    )  # fmt: skip
    images = [reference.evaluation_item(path, 32, clip.mean, clip.std) for path in paths]
    torch.testing.assert_close(
        ours.encoder(clip, config, CPU).images(val.images, len(val.images)),
        reference.embed_images(clip.model, torch.stack(images)), atol=1e-5, rtol=0,
    )  # fmt: skip
    # Two of an untrained model's embeddings may be so near that the order of sums decides.
    recalls = {name: value for name, value in theirs.items() if name != "loss"}
    assert {name: mine[f"val/{name}"] for name in recalls} == pytest.approx(recalls, abs=2 / len(names))


def test_a_row_says_whether_its_goal_is_reached() -> None:
    fast = speedup("a", "1 row", reference=3.0, ours=1.0, goal=2)
    slow = Row("b", "1 row", 5.0, "%", goal=4, at_most=True, note="why")
    assert (fast.figure, fast.reached, slow.reached) == (3.0, True, False)
    assert Row("c", "1 row", 1.0, "s").reached is None
    assert "| b (1) | 1 row |  |  | 5% | ≤ 4% | NO |" in markdown([fast, slow], {"CPU": "one"})
    assert [row["reached"] for row in as_json([fast, slow], {}, {})["rows"]] == [True, False]
