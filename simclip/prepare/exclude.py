"""Exclude images from a table by name; COCO images by number, because releases name them differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simclip.data.pair_table import read_names
from simclip.data.sources import SOURCES
from simclip.data.sources.source import image_column
from simclip.data.sources.tsv import read_tsv
from simclip.errors import InputError
from simclip.prepare.annotations import Described, read_karpathy
from simclip.prepare.coco_ids import coco_id


@dataclass(frozen=True)
class Exclusion:
    """The effect of one list of names.

    Attributes:
        source: The file, as given on the command line.
        names: Number of names in it.
        kept_out: Number of rows that were removed.
        not_met: Names that match no row.
    """

    source: str
    names: int
    kept_out: int
    not_met: list[str]


def exclude(rows: Sequence[Described], sources: Sequence[str]) -> tuple[list[Described], list[Exclusion]]:
    """Remove the rows that a source names; returns the remaining rows and the effect of each source.

    Args:
        rows: Rows of the future table.
        sources: See `names_in`.

    Raises:
        InputError: A source is missing or wrong.
    """
    lists = {source: {_key(name): name for name in names_in(source)} for source in sources}
    keys = [_key(row.image) for row in rows]
    present = set(keys)
    exclusions = [
        Exclusion(
            source, len(names), sum(key in names for key in keys), [names[key] for key in names if key not in present]
        )
        for source, names in lists.items()
    ]
    out = {key for names in lists.values() for key in names}
    return [row for row, key in zip(rows, keys, strict=True) if key not in out], exclusions


def names_in(source: str) -> list[str]:
    """Read the image names of a source.

    Args:
        source: A text file with one name per line; a table, of which a TSV need not have captions; or splits of a
            Karpathy file, written dataset_coco.json:val,test.

    Raises:
        InputError: The file is missing or in another format.
    """
    head, colon, splits = source.rpartition(":")
    if colon and head.endswith(".json"):
        return [row.image for row in read_karpathy(Path(head), splits.split(","))[0]]
    path = Path(source)
    if path.suffix == ".json":
        raise InputError(f"--exclude {source}: name the splits to keep out, such as {source}:val,test")
    if path.suffix.lower() in SOURCES and path.suffix.lower() != ".tsv":
        return read_names(source)
    if not path.is_file():
        raise InputError(f"--exclude {source}: no such file; give a list of image names, a TSV, or a Karpathy JSON")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): convert it") from error
    if "\t" in lines[0] or lines[0].strip() == "image":
        frame = read_tsv(path)
        return list(frame[image_column(str(path), list(frame.columns), None)])
    return [line.strip() for line in lines if line.strip()]


def _key(name: str) -> str | int:
    number = coco_id(name)
    return name.removeprefix("./") if number is None else number
