"""Data sets of other libraries' writers are read: pyarrow's always, webdataset's and datasets' where installed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from simclip.data.pair_table import CaptionTable, read_table
from tests.data.formats import Row, rows_of


@pytest.fixture
def rows(pairs: Path) -> list[Row]:
    return rows_of(pairs / "train.tsv")


def check(table: CaptionTable, rows: list[Row], images: Path) -> None:
    assert table.captions == [caption for _, captions in rows for caption in captions]
    assert [each.read_bytes() for each in table.images] == [(images / name).read_bytes() for name, _ in rows]


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_pyarrows_parquet(compression: str, pairs: Path, rows: list[Row], tmp_path: Path) -> None:
    pictures = [{"bytes": (pairs / "images" / name).read_bytes(), "path": name} for name, _ in rows]
    table = pa.table({"image": pictures, "captions": [captions for _, captions in rows]})
    for number in range(2):
        part = table.slice(20 * number, 20)
        pq.write_table(part, tmp_path / f"train-{number}.parquet", row_group_size=6, compression=compression)
    check(read_table(tmp_path / "train-*.parquet"), rows, pairs / "images")
    pa.dataset.write_dataset(table, tmp_path / "set", format="parquet")
    check(read_table(tmp_path / "set" / "*.parquet"), rows, pairs / "images")


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_webdatasets_shards(kind: str, pairs: Path, rows: list[Row], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is in requirements-evaluation.txt")
    first = [(name, captions if kind == "json" else captions[:1]) for name, captions in rows]
    with webdataset.ShardWriter(str(tmp_path / "%05d.tar"), maxcount=15) as writer:
        for number, (name, captions) in enumerate(first):
            text = json.dumps({"caption": captions}).encode() if kind == "json" else captions[0]
            writer.write({"__key__": f"{number:06d}", "png": (pairs / "images" / name).read_bytes(), kind: text})
    check(read_table(tmp_path / "{00000..00002}.tar"), first, pairs / "images")


def test_datasets_parquet_and_image_folder(pairs: Path, rows: list[Row], tmp_path: Path) -> None:
    reason = "Hugging Face's datasets is large: install it by hand"
    pytest.importorskip("datasets.arrow_writer", reason=reason)  # the project has a folder of the package's name
    import datasets

    files = [str(pairs / "images" / name) for name, _ in rows]
    made = datasets.Dataset.from_dict({"image": files, "text": [captions for _, captions in rows]})
    made.cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "train.parquet"))
    check(read_table(tmp_path / "train.parquet"), rows, pairs / "images")
