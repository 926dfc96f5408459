"""Parquet files, such as those of a Hugging Face data set: pictures as bytes or as paths, captions as text or lists."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simclip.data.members import Members
from simclip.data.picture import Shard
from simclip.data.sources.source import File, Rows, Source, caption_columns, image_column, texts_of
from simclip.data.table import Reading
from simclip.errors import InputError

#: Maximum number of bytes of the pictures in a row group, which is decoded whole.
MAX_GROUP = 1 << 30
#: One thread decodes a row group while others wait for it, so that a few are in memory at most.
DECODING = threading.Lock()


class Parquet(Source):
    """A Parquet file. Its image column holds bytes, paths, or both as Hugging Face's Image feature does."""

    suffixes = (".parquet",)

    def read(self, file: File, reading: Reading) -> Rows:
        """See `Source.read`."""
        try:
            with pq.ParquetFile(file.path) as parquet:
                return _rows(file, parquet, reading)
        except (pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())
            raise InputError(f"{file.title} is damaged or no Parquet file ({said:.200}): replace it") from None


def _rows(file: File, parquet: pq.ParquetFile, reading: Reading) -> Rows:
    schema = parquet.schema_arrow
    image = image_column(file.title, schema.names, reading.image_column)
    columns = caption_columns(file.title, schema.names, reading.caption_columns)
    table = parquet.read(columns=columns)
    captions, counts = [], []
    for row, values in enumerate(zip(*(table.column(name).to_pylist() for name in columns), strict=True)):
        try:
            texts = texts_of(values)
        except ValueError as error:
            raise InputError(f"{file.title}, row {row}: a caption {error}") from None
        captions += texts
        counts.append(len(texts))
    if not counts:
        raise InputError(f"{file.title} has no rows: expected a row per pair")
    kind = schema.field(image).type
    leaves = [field.name for field in kind] if pa.types.is_struct(kind) else []
    names = _texts(parquet, f"{image}.path" if "path" in leaves else image) if not _is_bytes(kind) else None
    leaf = f"{image}.bytes" if "bytes" in leaves else image
    if _is_bytes(kind) or ("bytes" in leaves and not _is_null(parquet, leaf)):
        images: Any = _pictures(file, parquet, leaf, names)
    elif names is None or None in names:
        raise InputError(f"{file.title}: column {image} of {kind} holds neither pictures nor the paths of all of them; "
                         "set train.image_column to one that does")  # fmt: skip
    else:
        images = names
    return Rows(images, captions, np.array(counts), lambda row: f"row {row}", columns)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(parquet: pq.ParquetFile, column: str) -> list[str | None] | None:
    """The texts of a column or of a struct's field; None if it holds something else."""
    name, _, field = column.partition(".")
    if field and not {"bytes", "path"} & {each.name for each in parquet.schema_arrow.field(name).type}:
        return None
    values = parquet.read(columns=[column]).column(name).to_pylist()
    texts = [value[field] if field and value else value for value in values]
    return texts if all(text is None or isinstance(text, str) for text in texts) else None


def _is_null(parquet: pq.ParquetFile, leaf: str) -> bool:
    """Whether a struct's field is null in every row, as its type or its statistics say."""
    name, _, field = leaf.partition(".")
    if pa.types.is_null(parquet.schema_arrow.field(name).type.field(field).type):
        return True
    groups = [_chunk(parquet, group, leaf) for group in range(parquet.num_row_groups)]
    return all(each.is_stats_set and each.statistics.null_count == each.num_values for each in groups)


def _chunk(parquet: pq.ParquetFile, group: int, leaf: str) -> pq.ColumnChunkMetaData:
    chunks = parquet.metadata.row_group(group)
    return next(each for each in map(chunks.column, range(chunks.num_columns)) if each.path_in_schema == leaf)


def _pictures(file: File, parquet: pq.ParquetFile, leaf: str, names: Sequence[str | None] | None) -> Members:
    """The pictures of a column of bytes. Their keys are the numbers of the rows, followed by the names of the files."""
    counts = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    for group in range(len(counts)):
        if (size := _chunk(parquet, group, leaf).total_uncompressed_size) > MAX_GROUP:
            raise InputError(
                f"{file.title}: row group {group} has {size / 2**30:.1f} GiB of pictures, which are decoded together: "
                "write the file again with smaller row groups (row_group_size=1000)"
            )
    bases = (Path(name or "").name for name in names or [""] * sum(counts))
    keys = [f"{row}/{base}" if base and base.isprintable() else str(row) for row, base in enumerate(bases)]
    return Members(
        [Shard(file.path, file.title, partial(read_bytes, leaf))],
        np.zeros(len(keys), np.int32),
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate([np.arange(count) for count in counts]),
        pa.array(keys, pa.string()),
    )


def read_bytes(leaf: str, path: Path, group: int, row: int) -> bytes:
    """The bytes of a picture; none where the column is null.

    Raises:
        OSError: The row group does not decode.
    """
    with DECODING:
        column = _decoded(leaf, path, path.stat().st_mtime_ns, group)
    return column[row].as_py() or b""


@lru_cache(maxsize=2)
def _decoded(leaf: str, path: Path, stamp: int, group: int) -> pa.ChunkedArray:
    """The pictures of a row group."""
    with pq.ParquetFile(path) as parquet:
        column = parquet.read_row_group(group, columns=[leaf], use_threads=False).column(0)
    return pa.chunked_array([each.field("bytes") for each in column.chunks]) if "." in leaf else column
