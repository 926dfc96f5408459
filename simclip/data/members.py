"""Many pictures: those in shards as arrays, and what is asked of any pictures, in shards or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa

from simclip.data.picture import Member, Picture, Shard
from simclip.runtime.cache import file_stamps


class Members(Sequence[Member]):
    """Pictures in shards, as arrays: a million of them take some 50 MB.

    Args:
        shards: The files, each once.
        shard: int32 [n], the file of each picture.
        start: int64 [n], see `Member`.
        length: int64 [n], see `Member`.
        keys: string [n].
    """

    def __init__(
        self, shards: Sequence[Shard], shard: np.ndarray, start: np.ndarray, length: np.ndarray, keys: pa.Array
    ) -> None:
        self.shards, self.shard, self.start, self.length, self.keys = shards, shard, start, length, keys

    def __len__(self) -> int:
        return len(self.shard)

    @overload
    def __getitem__(self, row: int) -> Member: ...
    @overload
    def __getitem__(self, row: slice) -> Members: ...
    def __getitem__(self, row: int | slice) -> Member | Members:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row])
        shard = self.shards[self.shard[row]]
        return Member(shard, int(self.start[row]), int(self.length[row]), self.keys[int(row)].as_py())

    def take(self, rows: np.ndarray) -> Members:
        """The pictures of the given rows."""
        return Members(
            self.shards, self.shard[rows], self.start[rows], self.length[rows], self.keys.take(pa.array(rows))
        )

    @property
    def places(self) -> np.ndarray:
        """Shard, start and length of each picture, int64 [n, 3]."""
        return np.stack([self.shard.astype(np.int64), self.start, self.length], axis=1)


def taken(images: Sequence[Picture], rows: Sequence[int] | np.ndarray) -> Sequence[Picture]:
    """The pictures of the given rows."""
    if isinstance(images, Members):
        return images.take(np.asarray(rows, dtype=np.int64))
    return [images[row] for row in rows]


def joined(parts: Sequence[Sequence[Picture]]) -> Sequence[Picture]:
    """The pictures of several groups, one after the other."""
    groups = [part for part in parts if isinstance(part, Members)]
    if len(groups) < len(parts):
        return [image for part in parts for image in part]
    number_of: dict[Path, int] = {}
    shards: list[Shard] = []
    for each in (shard for part in groups for shard in part.shards):
        if number_of.setdefault(each.path, len(number_of)) == len(shards):
            shards.append(each)
    numbers = [np.array([number_of[each.path] for each in part.shards], np.int32)[part.shard] for part in groups]
    return Members(
        shards,
        np.concatenate(numbers),
        np.concatenate([part.start for part in groups]),
        np.concatenate([part.length for part in groups]),
        pa.concat_arrays([part.keys for part in groups]),
    )


def numbered(images: Sequence[Picture]) -> tuple[Sequence[Picture], np.ndarray]:
    """The distinct pictures in the order of their first occurrence, and the number of each row's, int64 [rows]."""
    if not isinstance(images, Members):
        number_of = {image: number for number, image in enumerate(dict.fromkeys(images))}
        return list(number_of), np.array([number_of[image] for image in images], dtype=np.int64)
    shard, start, length = np.diff(images.places, axis=0).T
    if ((shard > 0) | ((shard == 0) & ((start > 0) | ((start == 0) & (length > 0))))).all():  # sorted: all differ
        return images, np.arange(len(images))
    _, first, index = np.unique(images.places, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return images.take(first[order]), np.argsort(order)[index.reshape(-1)]


def stamps(images: Sequence[Picture]) -> bytes:
    """Bytes that differ after any change to the files of pictures; for plain files their `file_stamps`."""
    if isinstance(images, Members):
        return file_stamps(shard.path for shard in images.shards) + images.places.tobytes()
    inside = [(each.start, each.length) for each in images if isinstance(each, Member)]
    files = file_stamps(each if isinstance(each, Path) else each.shard.path for each in images)
    return files + (repr(inside).encode() if inside else b"")
