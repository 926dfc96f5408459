"""The same pairs in every format that studies read."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simclip.data.pair_table import CaptionTable

#: Image name, relative to an image folder, and captions.
Row = tuple[str, list[str]]


def captions_of(table: CaptionTable) -> list[list[str]]:
    """The captions of each row that was read."""
    return [table.captions[begin:end] for begin, end in zip(table.starts, table.starts[1:], strict=False)]


def rows_of(tsv: Path) -> list[Row]:
    """The rows of a TSV, read in the plainest way."""
    lines = [line.split("\t") for line in tsv.read_text(encoding="utf-8").splitlines()[1:]]
    return [(name, captions) for name, *captions in lines]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filepath", *(f"caption{number}" for number in range(len(rows[0][1])))])
        writer.writerows([name, *captions] for name, captions in rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps({"file_name": name, "text": captions}) + "\n" for name, captions in rows))
    return path


def write_parquet(path: Path, rows: Sequence[Row], images: Path | None, group: int = 7) -> Path:
    """Hugging Face's layout: with the bytes of the pictures, or without an image folder with their paths alone."""
    content = [{"bytes": (images / name).read_bytes() if images else None, "path": name} for name, _ in rows]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(content, kind), "captions": [captions for _, captions in rows]})
    pq.write_table(table, path, row_group_size=group)
    return path


def write_shards(folder: Path, rows: Sequence[Row], images: Path, size: int = 16) -> Path:
    """Shards of pictures and JSON files with all captions; returns the place that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, begin in enumerate(range(0, len(rows), size)):
        members: list[tuple[str, bytes]] = []
        for row, (name, captions) in enumerate(rows[begin : begin + size], start=begin):
            content = (images / name).read_bytes()
            members += [(f"{row:06d}{Path(name).suffix}", content)]
            members += [(f"{row:06d}.json", json.dumps({"caption": captions}).encode())]
        write_tar(folder / f"{number:05d}.tar", members)
    return folder / f"{{00000..{number:05d}}}.tar"


def write_tar(path: Path, members: Sequence[tuple[str, bytes]], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
