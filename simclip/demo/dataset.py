"""The demo's data set, generated on first use: pictures with true and false captions, and a rare set of flags."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import PIL

from simclip.demo.captions import PER_PICTURE, captions
from simclip.demo.flags import NATIONS, Flag
from simclip.demo.pictures import draw
from simclip.demo.scenes import Scene, families, known_scenes, swapped

FOLDER = Path(__file__).parents[2] / "datasets" / "demo"
BASE = FOLDER.with_name("demo-base")
SEED = 20240
GENERATOR = ("scenes", "flags", "captions", "canvas", "pictures", "dataset")
TRAIN_FAMILIES, VAL_FAMILIES, TEST_FAMILIES, FAMILY_SIZE = 240, 56, 56, 8
RARE_TRAIN, RARE_TEST = 8, 20  # pictures per nation
RARE_SETS = ("rare_test", "test_rare")  # for validation after each epoch, and for the final test


def ensure_dataset(folder: Path = FOLDER, notify: Callable[[str], object] | None = None) -> Path:
    """Make the demo data set, unless it exists; replace one of another generator version. Takes a few seconds.

    The folder is written under another name and then renamed, so that it is never incomplete. A second process waits
    for the first.

    Args:
        folder: Folder to write: train.tsv, val.tsv and test.tsv (scenes), rare.tsv (flags), their pictures in images/,
            rare_test/<nation>/ and test_rare/<nation>/ with one folder of pictures per class, and swapped.tsv and
            test_swapped.tsv, which pair pictures of val.tsv and test.tsv with a true and a false caption.
        notify: Called with one line before the pictures are drawn.

    Returns:
        The folder.
    """
    if not _is_current(folder):
        if notify:
            notify("Drawing the demo's pictures, once on this machine...")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_process(folder.parent):
            if not _is_current(folder):
                part = folder.with_name(f".{folder.name}.part")
                shutil.rmtree(part, ignore_errors=True)
                _make(part)
                shutil.rmtree(folder, ignore_errors=True)
                part.rename(folder)
    return folder


def split(seed: int = SEED) -> tuple[list[Scene], list[Scene]]:
    """The scenes of the training and the validation pairs, family after family; no scene occurs twice."""
    taken: set[Scene] = set()
    train, val = (
        families(count, FAMILY_SIZE, random.Random(f"{seed}/{name}"), taken)
        for name, count in (("train", TRAIN_FAMILIES), ("val", VAL_FAMILIES))
    )
    return [scene for family in train for scene in family], [scene for family in val for scene in family]


def held_out(seed: int = SEED) -> list[Scene]:
    """The scenes of the test pairs, family after family; none is in `split` or in the base model's training data."""
    train, val = split(seed)
    test = families(TEST_FAMILIES, FAMILY_SIZE, random.Random(f"{seed}/test"), {*train, *val, *known_scenes()})
    return [scene for family in test for scene in family]


def generator_version() -> str:
    """A key that changes with the generator's code and with the version of Pillow, which affects pictures slightly."""
    sources = (Path(__file__).with_name(f"{name}.py") for name in GENERATOR)
    return hashlib.sha256(b"".join(map(Path.read_bytes, sources)) + PIL.__version__.encode()).hexdigest()[:16]


def _is_current(folder: Path) -> bool:
    stamp = folder / "version.txt"
    return stamp.is_file() and stamp.read_text().strip() == generator_version()


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the operating system frees it when the process dies."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    train, val = split()
    _write_pairs(folder, "train", train)
    _write_pairs(folder, "val", val)
    _write_pairs(folder, "test", test := held_out())
    _write_swapped(folder, "swapped", "val", val)
    _write_swapped(folder, "test_swapped", "test", test)
    _write_pairs(folder, "rare", [Flag(nation) for nation in NATIONS for _ in range(RARE_TRAIN)])
    for name, nation in product(RARE_SETS, NATIONS):
        classes = folder / name / nation.replace(" ", "_")
        classes.mkdir(parents=True)
        for i in range(RARE_TEST):
            draw(Flag(nation), random.Random(f"{SEED}/{name}/{nation}/{i}")).save(classes / f"{i:02d}.png")
    (folder / "version.txt").write_text(generator_version() + "\n")


def _write_pairs(folder: Path, name: str, subjects: Sequence[Scene | Flag]) -> None:
    """Write <name>.tsv and the pictures of its rows."""
    with open(folder / f"{name}.tsv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        rows.writerow(["image", *(f"caption{i + 1}" for i in range(PER_PICTURE))])
        for i, subject in enumerate(subjects):
            rng = random.Random(f"{SEED}/{name}/{i}")
            draw(subject, rng).save(folder / "images" / f"{name}_{i:04d}.png")
            rows.writerow([f"{name}_{i:04d}.png", *captions(subject, rng)])


def _write_swapped(folder: Path, name: str, pictures: str, scenes: Sequence[Scene]) -> None:
    """Write <name>.tsv: pictures of <pictures>.tsv with their captions and captions with two attributes swapped."""
    with open(folder / f"{name}.tsv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        rows.writerow(["image", "caption", "negative_caption", "category"])
        for i, scene in enumerate(scenes):
            for category, other in swapped(scene).items():
                both = [captions(each, random.Random(f"{SEED}/{name}/{i}"))[0] for each in (scene, other)]
                rows.writerow([f"{pictures}_{i:04d}.png", *both, category])
