"""Pictures of a data set: files, or members of larger files such as tar shards, which are read in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias


class Shard(NamedTuple):
    """A file that holds many pictures.

    Attributes:
        path: The file on this machine.
        title: The file in messages: its path as given, or its URI if `path` is a copy.
        read: The encoded bytes of a picture, from `path` and the two numbers that say where it is.
    """

    path: Path
    title: str
    read: Callable[[Path, int, int], bytes]


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """A picture in a shard.

    Attributes:
        shard: The file.
        start: Where the picture begins, in bytes; in Parquet its row group.
        length: Its number of bytes; in Parquet the row in the group.
        key: Its name in the shard.
    """

    shard: Shard
    start: int
    length: int
    key: str

    @property
    def name(self) -> str:
        """The file name of the picture, without folders."""
        return self.key.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """The encoded picture."""
        return self.shard.read(self.shard.path, self.start, self.length)

    def __str__(self) -> str:
        return f"{self.shard.title}/{self.key}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    @property
    def _place(self) -> tuple[Path, int, int]:
        return self.shard.path, self.start, self.length


#: What an encoded picture is read from.
Picture: TypeAlias = Path | Member


def size_of(image: Picture) -> int:
    """Number of bytes of an encoded picture."""
    return image.stat().st_size if isinstance(image, Path) else len(image.read_bytes())
