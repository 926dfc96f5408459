"""The same pairs give the same run in every format, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from simclip.train.config import TrainConfig
from simclip.train.loop import Training
from tests.data.formats import Row, rows_of, write_csv, write_jsonl, write_parquet, write_shards

Write = Callable[[Path, list[Row], Path], Path]
FORMATS: dict[str, Write] = {
    "csv": lambda folder, rows, images: write_csv(folder / "pairs.csv", rows),
    "jsonl": lambda folder, rows, images: write_jsonl(folder / "pairs.jsonl", rows),
    "parquet": lambda folder, rows, images: write_parquet(folder / "pairs.parquet", rows, images),
    "shards": write_shards,
}


def run(config: TrainConfig, folder: Path) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """The figures of every epoch but those of time, and the final weights."""
    history = Training(config, folder).run(lambda history, checkpoint: None)
    weights = load_file(folder / f"epoch-{config.epochs:04d}" / "last" / "model.safetensors")
    figures = [{name: value for name, value in row.items() if "/" in name and "seconds" not in name} for row in history]
    return [{name: value for name, value in row.items() if name.partition("/")[0] in ("train", "val")} for row in
            figures], {name: each.tobytes() for name, each in weights.items()}  # fmt: skip


@pytest.fixture(scope="module")
def expected(
    pairs: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainConfig, list[dict[str, float]], dict[str, bytes]]:
    """A run on TSVs, and what came of it."""
    config = TrainConfig(
        train_tsv=pairs / "train.tsv", train_image_dir=pairs / "images", val_tsv=pairs / "val.tsv",
        val_image_dir=pairs / "images", model=str(tiny_model), batch_size=8, val_batch_size=8, epochs=1,
        cluster_size=4, proportion=0.5, learning_rate=1e-3, threads=1, similarity="image",
    )  # fmt: skip
    return config, *run(config, tmp_path_factory.mktemp("tsv"))


@pytest.mark.parametrize("image_store", ["auto", "off"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_pairs_give_the_same_run(name: str, image_store: str, expected, pairs: Path, tmp_path: Path) -> None:
    config, figures, weights = expected
    images = pairs / "images"
    places = {}
    for table in ("train", "val"):
        (tmp_path / table).mkdir()
        places[f"{table}_tsv"] = FORMATS[name](tmp_path / table, rows_of(pairs / f"{table}.tsv"), images)
    folders = {"train_image_dir": images, "val_image_dir": images} if name in ("csv", "jsonl") else {}
    tsv = {"train_tsv", "train_image_dir", "val_tsv", "val_image_dir"}
    same = TrainConfig(**config.model_dump(exclude=tsv), **places, **folders)
    found_figures, found_weights = run(same.model_copy(update={"image_store": image_store}), tmp_path / "run")
    assert figures[-1]["train/loss"] > 0 and "val/mean_r1" in figures[-1]
    assert found_figures == figures
    assert found_weights == weights
