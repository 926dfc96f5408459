"""Tar shards as webdataset and img2dataset write them: 000031.jpg beside 000031.txt, 000031.json or both.

Shards are never unpacked: an index in the cache says where each picture is.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from simclip.data.members import Members
from simclip.data.picture import Shard
from simclip.data.sources.source import File, Rows, Source, caption_columns, texts_of
from simclip.data.table import Reading
from simclip.errors import InputError
from simclip.runtime.cache import cached_array, file_stamps, fingerprint

PICTURES = ("jpg", "jpeg", "png", "webp")
#: A key and the rest of a member's name, split as webdataset does: at the first dot after the folders.
NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")
#: Maximum number of bytes of a header and of a caption or its JSON; a picture is bounded by its shard.
MAX_TEXT = 1 << 20
#: First bytes of compressed files: gzip, bzip2, xz, zstandard.
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
BLOCK = tarfile.BLOCKSIZE
SCHEMA = pa.schema(
    {"key": pa.string(), "start": pa.int64(), "length": pa.int64(), "captions": pa.list_(pa.string())}
)  # fmt: skip


class Tar(Source):
    """An uncompressed tar file. The rows are its pictures, in their order."""

    suffixes = (".tar",)

    def read(self, file: File, reading: Reading) -> Rows:
        """See `Source.read`. The captions are those of the text; without it, or with caption_columns, of the JSON."""
        key = fingerprint(file_stamps([file.path]), repr(reading.caption_columns).encode())
        index = pa.ipc.open_stream(cached_array("shard", key, lambda: _packed(file, reading.caption_columns)))
        table = index.read_all().combine_chunks()
        problems = dict(json.loads(table.schema.metadata[b"problems"]))
        left_out = {f"{file.title}/{name}": reason for name, reason in problems.items()}
        if left_out and not reading.skip_bad:
            where, reason = next(iter(left_out.items()))
            more = f" ({len(left_out):,} such problems in this shard)" if len(left_out) > 1 else ""
            raise InputError(f"{where}: {reason}{more}: replace it, or leave it out with train.bad_images=skip")
        captions = _column(table, "captions")
        images = Members(
            [Shard(file.path, file.title, read_bytes)],
            np.zeros(len(table), np.int32),
            _column(table, "start").to_numpy(),
            _column(table, "length").to_numpy(),
            _column(table, "key"),
        )
        counts = np.diff(captions.offsets.to_numpy())
        return Rows(images, captions.flatten().to_pylist(), counts, lambda row: f"key {images.keys[row]}",
                    reading.caption_columns or ["txt", "json"], left_out)  # fmt: skip


def read_bytes(path: Path, start: int, length: int) -> bytes:
    """The bytes of a member.

    Raises:
        OSError: The file has become shorter.
    """
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(length)
    if len(content) < length:
        raise OSError("the shard ends within it")
    return content


def _column(table: pa.Table, name: str) -> Any:
    chunks = table.column(name).chunks
    return chunks[0] if chunks else pa.array([], SCHEMA.field(name).type)


def _packed(file: File, columns: Sequence[str] | None) -> np.ndarray:
    """The index of a shard as bytes of Arrow's stream format, uint8."""
    table, problems = _index(file, columns)
    sink = pa.BufferOutputStream()
    metadata = {"problems": json.dumps(problems)}
    with pa.ipc.new_stream(sink, SCHEMA.with_metadata(metadata)) as stream:
        stream.write_table(pa.table(table, SCHEMA.with_metadata(metadata)))
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _index(file: File, columns: Sequence[str] | None) -> tuple[dict[str, list[Any]], list[tuple[str, str]]]:
    """Where the pictures of a shard are, with their captions; and what is wrong, by key."""
    found: dict[str, dict[str, Any]] = {}
    problems: dict[str, str] = {}
    with file.path.open("rb") as shard:
        if shard.read(8).startswith(COMPRESSED):
            raise InputError(f"{file.title} is compressed, so that no picture can be read by its place: decompress it")
        try:
            for member in _members(shard, file.path.stat().st_size):
                name = NAME.fullmatch(member.name.removeprefix("./"))
                role = name[2].lower() if name else ""
                if not name or role not in (*PICTURES, "txt", "json"):
                    continue
                key, role = name[1], "picture" if role in PICTURES else role
                entry = found.setdefault(key, {})
                if role in entry or not key.isprintable():
                    problems[ascii(key)[1:-1]] = f"has more than one {role}" if role in entry else "is no valid key"
                elif role == "picture":
                    entry[role] = (name[0], member.offset_data, member.size)
                else:
                    entry[role] = _text(shard, member)
        except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
            last = f" after key {[*found][-1]}" if found else ""
            problems["(end)"] = f"the shard is damaged{last}: {' '.join(str(error).split())}"
            found.pop([*found][-1] if found else "", None)  # its other members may be lost
    rows: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for key, entry in found.items():
        if key in problems:
            continue
        captions, problem = _captions(entry, columns)
        if problem or "picture" not in entry:
            problems[key] = problem if "picture" in entry else f"no picture ({', '.join(PICTURES)})"
            continue
        for name, value in zip(SCHEMA.names, (*entry["picture"], captions), strict=True):
            rows[name].append(value)
    return rows, [*problems.items()]


class _Headers:
    """A shard of which tarfile reads headers alone: what claims to be a long one is refused."""

    def __init__(self, shard: BinaryIO) -> None:
        self._shard, self.seek, self.tell = shard, shard.seek, shard.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_TEXT:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._shard.read(size)


def _members(shard: BinaryIO, size: int) -> Iterator[tarfile.TarInfo]:
    """The regular files of a shard.

    Raises:
        tarfile.ReadError: The shard ends in the middle, or a member lies about its size.
    """
    shard.seek(0)
    tar = tarfile.open(fileobj=_Headers(shard), mode="r:")  # type: ignore[call-overload] # noqa: SIM115
    before = -1
    while (member := tar.next()) is not None:
        tar.members = []  # tarfile keeps them all
        if tar.offset <= before or member.size < 0:
            raise tarfile.ReadError(f"{member.name} claims {member.size} bytes")
        before = tar.offset
        if member.isreg() and not member.issparse():
            if member.offset_data + member.size > size:
                raise tarfile.ReadError(f"{member.name} claims {member.size} bytes, of which the file has "
                                        f"{size - member.offset_data}")  # fmt: skip
            yield member
    shard.seek(tar.offset)
    if (end := shard.read(BLOCK)) != bytes(BLOCK):
        raise tarfile.ReadError(f"no valid header at byte {tar.offset}" if end else "it ends without tar's end mark")


def _text(shard: BinaryIO, member: tarfile.TarInfo) -> bytes | None:
    """The content of a caption or its JSON; None if it is too long for one."""
    if member.size > MAX_TEXT:
        return None
    shard.seek(member.offset_data)
    return shard.read(member.size)


def _captions(entry: dict[str, Any], columns: Sequence[str] | None) -> tuple[list[str], str]:
    """The captions of a picture, and what is wrong with them."""
    role = "txt" if "txt" in entry and columns is None else "json"
    if role not in entry:
        return [], "no caption (txt or json)" if columns is None else "no json, which caption_columns are read from"
    try:
        if entry[role] is None:
            return [], f"its {role} has more than {MAX_TEXT:,} bytes"
        text = entry[role].decode("utf-8-sig")
        if role == "json":
            content = json.loads(text)
            texts = texts_of([content[name] for name in caption_columns("its json", [*content], columns)])
        else:
            texts = texts_of([text])
    except (InputError, ValueError, TypeError, RecursionError) as error:
        return [], str(error) if isinstance(error, InputError) else f"its {role} is no caption ({error})"
    return texts, "" if texts else f"its {role} has no caption"
