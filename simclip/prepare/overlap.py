"""Find evaluation images that are also training images: the same bytes, pixels or COCO photograph."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simclip.data.picture import Picture, size_of
from simclip.data.picture_file import open_picture
from simclip.prepare.coco_ids import coco_id
from simclip.runtime.progress import with_progress
from simclip.runtime.threads import in_threads

#: Ways to match two files, the most reliable first. The same name alone says little.
CONTENT, PIXELS, COCO, NAME = "content", "pixels", "COCO number", "name"


@dataclass(frozen=True)
class Match:
    """An evaluation image and the training images that match it.

    Attributes:
        how: The most reliable way in which they match.
    """

    evaluated: Picture
    trained: list[Picture]
    how: str

    @property
    def same_picture(self) -> bool:
        """Whether more than the name matches."""
        return self.how != NAME


def find_overlaps(
    trained: Sequence[Picture], evaluated: Mapping[str, Sequence[Picture]], pixels: bool = False
) -> dict[str, list[Match]]:
    """Find the images of each evaluation set that are also training images.

    Only files whose size occurs on both sides are read, unless pixels are compared.

    Args:
        trained: Paths of the training images; all exist.
        evaluated: Paths of the evaluation images by set; all exist.
        pixels: Also decode every image and compare pixels, which finds images that were re-encoded without loss.

    Raises:
        InputError: With `pixels`, an image does not decode.
    """
    training = list(dict.fromkeys(trained))
    testing = list(dict.fromkeys(path for paths in evaluated.values() for path in paths))
    ways: list[tuple[str, Callable[[Picture], Hashable]]] = [(CONTENT, _digests(training, testing).get)]
    if pixels:
        ways.append((PIXELS, _mapped([*training, *testing], _pixels_digest, "decoding images").get))
    ways += [(COCO, lambda path: coco_id(path.name)), (NAME, _name)]

    found: dict[Picture, Match] = {}
    for how, key in ways:
        groups = defaultdict(list)
        for path in training:
            groups[key(path)].append(path)
        for path in testing:
            if path not in found and key(path) is not None and (those := groups.get(key(path))):
                found[path] = Match(path, those, how)
    return {name: [found[path] for path in dict.fromkeys(paths) if path in found] for name, paths in evaluated.items()}


def overlaps_by_name(trained: Sequence[Picture], evaluated: Mapping[str, Sequence[Picture]]) -> list[str]:
    """Lines about evaluation images that are training images, or have the name of one; no file is read.

    Args:
        trained: Paths of the training images.
        evaluated: Paths of the evaluation images by set.
    """
    paths, names = {*trained}, {_name_key(path) for path in trained}
    lines = []
    for name, images in evaluated.items():
        unique = list(dict.fromkeys(images))
        same = [path for path in unique if path in paths]
        alike = [path for path in unique if path not in paths and _name_key(path) in names - {None}]
        if same:
            lines.append(f"{name}: {len(same):,} of {len(unique):,} images are also trained on, the first {same[0]}; "
                         "python tune.py check says how to keep them out of training")  # fmt: skip
        if alike:
            lines.append(f"{name}: {len(alike):,} of {len(unique):,} images have the name of a training image in "
                         f"another folder, the first {alike[0]}; python tune.py check compares the files")  # fmt: skip
    return lines


def _name_key(path: Picture) -> Hashable:
    return coco_id(path.name) or _name(path)


def _name(path: Picture) -> str | None:
    """The name of a file; None in a shard, where names are numbers that every shard repeats."""
    return path.name if isinstance(path, Path) else None


def _digests(training: Sequence[Picture], testing: Sequence[Picture]) -> dict[Picture, bytes]:
    """SHA-256 of every file whose size occurs on both sides."""
    sizes = {path: size_of(path) for path in (*training, *testing)}
    both = {sizes[path] for path in training} & {sizes[path] for path in testing}
    return _mapped([path for path, size in sizes.items() if size in both], _bytes_digest, "comparing files")


def _mapped(paths: Sequence[Picture], digest: Callable[[Picture], bytes], what: str) -> dict[Picture, bytes]:
    unique = list(dict.fromkeys(paths))
    with closing(in_threads(lambda number: digest(unique[number]), len(unique))) as digests:
        return dict(zip(unique, with_progress(digests, what, len(unique), 0, 1), strict=True))


def _bytes_digest(path: Picture) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _pixels_digest(path: Picture) -> bytes:
    with open_picture(path) as image:
        pixels = np.array(image.convert("RGB"))
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
