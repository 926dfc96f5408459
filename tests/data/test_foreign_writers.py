"""Data of other libraries' writers: pyarrow's always, webdataset's and datasets' with requirements-evaluation.txt."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from simclip.data.pair_table import CaptionTable, read_table
from simclip.errors import InputError
from tests.data.formats import Row


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


def test_datasets_parquet(pairs: Path, rows: list[Row], tmp_path: Path) -> None:
    reason = "Hugging Face's datasets is in requirements-evaluation.txt"
    pytest.importorskip("datasets.arrow_writer", reason=reason)  # the project has a folder of the package's name
    from datasets.table import embed_table_storage

    import datasets

    images = pairs / "images"
    files, captions = [str(images / name) for name, _ in rows], [captions for _, captions in rows]
    made = datasets.Dataset.from_dict({"image": files, "text": captions}).cast_column("image", datasets.Image())
    made.to_parquet(str(tmp_path / "paths.parquet"))
    check(read_table(tmp_path / "paths.parquet", images), rows, images)
    with pytest.raises(InputError, match=r"row 0: image '.*000.png' leaves .*own folder; name theirs with --images"):
        read_table(tmp_path / "paths.parquet")
    made = made.with_format("arrow").map(embed_table_storage, batched=True, batch_size=15)  # as push_to_hub does
    made.to_parquet(str(tmp_path / "bytes.parquet"))
    check(read_table(tmp_path / "bytes.parquet"), rows, images)
