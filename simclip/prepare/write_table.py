"""Caption tables written: tidied captions, images that are there, the whole file or none of it."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simclip.errors import InputError
from simclip.prepare.annotations import Described
from simclip.prepare.exclude import Exclusion, exclude
from simclip.runtime.files import write_atomically


@dataclass(frozen=True)
class Prepared:
    """What was written, and what was left out or changed on the way.

    Attributes:
        images: Rows of the table.
        captions: In all rows together.
        fewest: Captions of the row that has fewest.
        most: Captions of the row that has most, which is the number of caption columns.
        spaced: Captions in which a space stands now for a tab, a line break or another control character.
        blank: Captions left out because they held nothing.
        bare: Images left out because they have no caption.
        exclusions: What was kept out.
    """

    images: int
    captions: int
    fewest: int
    most: int
    spaced: int
    blank: int
    bare: list[str] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)


def prepare_table(rows: Sequence[Described], image_dir: Path, out: Path, excluded: Sequence[str] = ()) -> Prepared:
    """Write a table of images and captions, as `read_table` reads it.

    Args:
        rows: In the order to be written.
        image_dir: Where the images lie.
        out: The TSV; one that is there is replaced.
        excluded: What to keep out (see `names_in`).

    Raises:
        InputError: An image is missing or its name cannot stand in a table, a caption is not text, nothing is left, or
            the file cannot be written. Then nothing is.
    """
    if not image_dir.is_dir():
        raise InputError(f"no such image folder: {image_dir}")
    kept, exclusions = exclude(rows, excluded)
    tidied = [Described(_name(row.image), [_tidy(row, caption) for caption in row.captions]) for row in kept]
    described = [Described(row.image, [caption for caption in row.captions if caption]) for row in tidied]
    bare = [row.image for row in described if not row.captions]
    described = [row for row in described if row.captions]
    if not described:
        raise InputError(f"nothing to write to {out}: no image with a caption is left of {len(rows)}")
    refuse_missing([row.image for row in described], image_dir)
    write_table(described, out)
    counts = [len(row.captions) for row in described]
    before = [caption for row in kept for caption in row.captions]
    after = [caption for row in tidied for caption in row.captions]
    return Prepared(
        images=len(described),
        captions=sum(counts),
        fewest=min(counts),
        most=max(counts),
        spaced=sum(bool(new) and old.strip() != new for old, new in zip(before, after, strict=True)),
        blank=sum(not caption for caption in after),
        bare=bare,
        exclusions=exclusions,
    )


def refuse_missing(names: Sequence[str], image_dir: Path) -> None:
    """Look for every image.

    Raises:
        InputError: Some are not there: the first by name, the others by number; a list of all of them is left.
    """
    missing = [name for name in names if not os.path.isfile(image_dir / name)]
    if not missing:
        return
    with tempfile.NamedTemporaryFile(
        "w", prefix="missing-images-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write("\n".join(missing) + "\n")
    raise InputError(
        f"{len(missing):,} of {len(names):,} images are not in {image_dir}, the first {missing[0]}: put them there, "
        f"or leave them out with --exclude {file.name}, which lists them"
    )


def write_table(rows: Sequence[Described], out: Path, columns: Sequence[str] = ()) -> None:
    """Write rows as they are; a row with fewer captions than another has empty fields.

    Args:
        rows: Without tabs and line breaks.
        out: The TSV.
        columns: Names of the caption columns, at least as many as any row has captions; by default caption1, ...

    Raises:
        InputError: The file cannot be written.
    """
    names = columns or [f"caption{number + 1}" for number in range(max(len(row.captions) for row in rows))]
    lines = ["\t".join(["image", *names])]
    lines += ["\t".join([row.image, *row.captions, *[""] * (len(names) - len(row.captions))]) for row in rows]
    write_whole(out, "\n".join(lines) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text file, or leave what was there.

    Raises:
        InputError: It cannot be written there.
    """
    with writable(path):
        write_atomically(path, text)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Make a file's folder, and say in one line if the file cannot be written.

    Raises:
        InputError: The block, or making the folder, was refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _name(image: str) -> str:
    """The name, if it can be a field of a table."""
    if image != image.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in image):
        raise InputError(f"image name {image!r}: a table holds no spaces around a name, no tabs, no line breaks and "
                         "nothing that is not text: rename it")  # fmt: skip
    if not image or os.path.isabs(image) or ".." in image.split("/"):
        raise InputError(f"image name {image!r}: expected a path inside the image folder")
    return image


def _tidy(row: Described, caption: str) -> str:
    """The caption in one line: what a table cannot hold becomes a space, and none stand around it."""
    if caption.isprintable():  # nearly all of them
        return caption.strip()
    if any(unicodedata.category(letter) == "Cs" for letter in caption):
        raise InputError(f"a caption of {row.image} is not text (half a surrogate pair): {caption[:60]!r}")
    spaced = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in caption)
    return " ".join(part for part in spaced.split(" ") if part) if spaced != caption else caption.strip()
