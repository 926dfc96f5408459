"""Pictures by their names in an image folder, in which shards count as folders: shards/00003.tar/000031.jpg."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from simclip.data.picture import Picture
from simclip.data.sources import File, source_of
from simclip.data.table import Reading
from simclip.errors import InputError
from simclip.runtime.files import cache_folder, write_atomically

#: A shard and what follows it in a name.
INSIDE = re.compile(r"(.+?\.(?:tar|parquet))/(.+)")


def image_paths(
    source: Path | str, names: Sequence[str], image_dir: Path, place: Callable[[int], str], remedy: str = ""
) -> Sequence[Picture]:
    """Check and join the paths of a table's images.

    Args:
        source: The table, for error messages.
        names: Image of each row, relative to `image_dir`, or an absolute path inside it.
        image_dir: Folder of the images.
        place: Describes where a row is in the file, e.g. "line 7".
        remedy: What to do about images elsewhere, for error messages.

    Raises:
        InputError: The folder or an image is missing, or a name is empty or leads out of the folder.
    """
    if not image_dir.is_dir():
        raise InputError(f"no such image folder: {image_dir} (for {source})")
    inside = f"{image_dir.absolute()}/"
    for row, name in enumerate(names):
        if not name:
            raise InputError(
                f"{source}, {place(row)}: the image name is empty; write one or remove the {place(row).split()[0]}"
            )
        # Many times faster than pathlib.
        if (os.path.isabs(name) and not name.startswith(inside)) or ".." in name.split("/"):
            raise InputError(
                f"{source}, {place(row)}: image {name!r} leaves its folder {image_dir}"
                f"{f', {remedy}' if remedy else '; use a path inside it'}"
            )
    found, missing = find_images(names, image_dir)
    if missing:
        absent = list(dict.fromkeys(missing))  # a table may name an image several times
        raise InputError(
            f"{source}: {len(absent)} of {len(set(names))} images are not in {image_dir}"
            f"{f', {remedy}' if remedy else ''}: {_listed(absent)}"
        )
    return found


def find_images(names: Sequence[str], image_dir: Path) -> tuple[list[Picture], list[str]]:
    """Look for images in a folder and its shards; returns those that are there, and the names of the others."""
    members = _in_shards(names, image_dir)
    found: list[Picture] = []
    missing: list[str] = []
    for name in names:
        path = image_dir / name
        if name in members:
            found.append(members[name])
        elif os.path.isfile(path):
            found.append(path)
        else:
            missing.append(name)
    return found, missing


def _in_shards(names: Sequence[str], image_dir: Path) -> dict[str, Picture]:
    """The pictures in shards, by their name."""
    inside = {name: match[1] for name in names if (match := INSIDE.fullmatch(name))}
    found: dict[str, Picture] = {}
    for shard in dict.fromkeys(inside.values()):
        file = image_dir / shard
        if file.is_file():
            images = source_of(file).read(File(file, str(file)), Reading(skip_bad=True)).images
            found |= {f"{shard}/{each.key}": each for each in images if not isinstance(each, str)}
    return {name: found[name] for name in inside if name in found}


def _listed(names: list[str], most: int = 10) -> str:
    """Join names to one line; a long list is also written to a file, which the line names."""
    if len(names) <= most:
        return ", ".join(names)
    file = cache_folder() / "missing-images.txt"
    write_atomically(file, "\n".join(names) + "\n")
    return f"{', '.join(names[:most])}, ... (all of them in {file})"
