"""Write caption tables: captions cleaned, images checked, the file written completely or not at all."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simclip.data.image_folder import find_images
from simclip.errors import InputError
from simclip.prepare.annotations import Described
from simclip.prepare.exclude import Exclusion, exclude
from simclip.runtime.files import write_atomically


@dataclass(frozen=True)
class Prepared:
    """Counts of what was written, left out and changed.

    Attributes:
        images: Number of rows.
        captions: Number of captions in all rows.
        fewest: Smallest number of captions of a row.
        most: Largest number of captions of a row: the number of caption columns.
        spaced: Number of captions in which a tab, a line break or another control character became a space.
        blank: Number of empty captions, which are left out.
        bare: Images without a caption, which are left out.
        exclusions: The effect of each `--exclude`.
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
    """Write a table of images and captions that `read_table` reads.

    Args:
        rows: Images and captions, in the order of the table.
        image_dir: Folder of the images.
        out: The TSV to write; an existing file is replaced.
        excluded: Sources of image names to leave out (see `names_in`).

    Raises:
        InputError: An image is missing, a name or caption cannot be stored in a table, no row is left, or the file
            cannot be written. Nothing is written then.
    """
    if not image_dir.is_dir():
        raise InputError(f"no such image folder: {image_dir}")
    kept, exclusions = exclude(rows, excluded)
    tidied = [Described(_name(row.image), [_tidy(row, caption) for caption in row.captions]) for row in kept]
    described = [Described(row.image, [caption for caption in row.captions if caption]) for row in tidied]
    bare = [row.image for row in described if not row.captions]
    described = [row for row in described if row.captions]
    if not described:
        raise InputError(f"nothing to write to {out}: none of {len(rows)} images is left with a caption")
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
    """Check that every image exists.

    Raises:
        InputError: Some are missing. The message names the first and a file that lists all of them.
    """
    _, missing = find_images(names, image_dir)
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
    """Write rows without changing them; missing captions become empty fields.

    Args:
        rows: Images and captions without tabs and line breaks.
        out: The TSV to write.
        columns: Names of the caption columns, at least as many as a row has captions; by default caption1, ...

    Raises:
        InputError: The file cannot be written.
    """
    names = columns or [f"caption{number + 1}" for number in range(max(len(row.captions) for row in rows))]
    lines = ["\t".join(["image", *names])]
    lines += ["\t".join([row.image, *row.captions, *[""] * (len(names) - len(row.captions))]) for row in rows]
    write_whole(out, "\n".join(lines) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text file completely, or leave the existing file as it is.

    Raises:
        InputError: The file cannot be written.
    """
    with writable(path):
        write_atomically(path, text)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Make the folder of a file, and turn errors of writing the file into an InputError.

    Raises:
        InputError: The folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _name(image: str) -> str:
    """Check that an image name can be stored in a table; returns it."""
    if image != image.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in image):
        raise InputError(f"image name {image!r}: a table cannot store spaces around a name, tabs, line breaks or "
                         "invalid characters: rename the file")  # fmt: skip
    if not image or os.path.isabs(image) or ".." in image.split("/"):
        raise InputError(f"image name {image!r}: expected a path inside the image folder")
    return image


def _tidy(row: Described, caption: str) -> str:
    """The caption in one line: control characters become spaces, and outer spaces are removed."""
    if caption.isprintable():  # nearly all of them
        return caption.strip()
    if any(unicodedata.category(letter) == "Cs" for letter in caption):
        raise InputError(f"a caption of {row.image} is not text (half a surrogate pair): {caption[:60]!r}")
    spaced = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in caption)
    return " ".join(part for part in spaced.split(" ") if part) if spaced != caption else caption.strip()
