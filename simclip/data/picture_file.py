"""Picture files, opened with Pillow alone: their limits, bit depth, transparency and orientation."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from simclip.data.members import numbered, stamps
from simclip.data.picture import Picture, size_of
from simclip.errors import InputError
from simclip.runtime.cache import cached_array, fingerprint
from simclip.runtime.progress import with_progress
from simclip.runtime.threads import in_threads

T = TypeVar("T")

Exif = Literal["ignore", "apply"]

#: What `looks` finds in a picture: 16 bits per channel, transparent pixels, an EXIF orientation other than upright.
DEEP, TRANSPARENT, TURNED = 1, 2, 4
#: What makes a picture upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
ORIENTATION = 0x0112
#: What Pillow raises on files that are damaged, no pictures, or too large.
ERRORS = (OSError, SyntaxError, ValueError, RuntimeError, TypeError, LookupError, struct.error,
          Image.DecompressionBombError)  # fmt: skip
#: Number of pictures that a thread reads at a time.
BLOCK = 64

# Pillow only warns of pictures between its limit and twice its limit; `_opened` refuses them.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@contextmanager
def open_picture(path: Picture, exif: Exif = "ignore") -> Iterator[Image.Image]:
    """Open a picture with 8 bits per channel, on white where it is transparent; others unchanged.

    Args:
        path: The file, or its place in a shard.
        exif: "apply" turns the picture as its EXIF orientation says.

    Raises:
        InputError: The file is damaged, no picture or too large; also if the block that uses the picture finds that.
    """
    try:
        with _opened(path) as image:
            upright = image if exif == "ignore" else _turned(image)
            yield _on_white(_eight_bits(upright, image.format))
    except ERRORS as error:
        raise InputError(
            f"{path} cannot be read as an image ({_reason(path, error)}): replace it, or drop such rows with "
            "train.bad_images=skip"
        ) from error


def unreadable(paths: Sequence[Picture]) -> dict[Picture, str]:
    """The pictures that do not decode, and why; the decoding is cached for unchanged files."""
    unique, _ = numbered(paths)

    def find() -> np.ndarray:
        bad = _each(unique, lambda path: _why_unreadable(path) is not None, "decoding images")
        return np.flatnonzero(bad)

    bad = cached_array("undecodable", fingerprint(stamps(unique)), find)
    return {unique[row]: _why_unreadable(unique[row]) or "" for row in bad.tolist()}


def looks(paths: Sequence[Picture]) -> np.ndarray:
    """What is particular about each picture: a sum of DEEP, TRANSPARENT and TURNED, uint8 [paths]; cached."""
    unique, number = numbered(paths)
    key = fingerprint(stamps(unique))
    found = cached_array("looks", key, lambda: np.array(_each(unique, _look, "looking at images"), dtype=np.uint8))
    return found[number]


def picture_stamps(paths: Sequence[Picture], exif: Exif) -> bytes:
    """Bytes that differ after any change to a file or to how it is read; the `stamps` for ordinary pictures."""
    changed = looks(paths) & (DEEP | TRANSPARENT | (TURNED if exif == "apply" else 0))
    return stamps(paths) + (changed.tobytes() if changed.any() else b"")


def picture_notes(source: str, paths: Sequence[Picture], exif: Exif) -> list[str]:
    """Lines that count the pictures of 16 bits, with transparency and with an EXIF orientation."""
    unique, _ = numbered(paths)
    found = looks(unique)
    turned = (
        "have an EXIF orientation and are turned by it"
        if exif == "apply"
        else "have an EXIF orientation, which is ignored as in OpenCLIP's evaluation (train.exif=apply turns them)"
    )
    words = {DEEP: "have 16 bits per channel and are scaled to 8", TRANSPARENT: "are transparent and are laid on white",
             TURNED: turned}  # fmt: skip
    counts = {flag: int((found & flag > 0).sum()) for flag in words}
    return [f"{source}: {counts[flag]:,} of {len(unique):,} pictures {words[flag]}" for flag in words if counts[flag]]


@contextmanager
def _opened(path: Picture) -> Iterator[Image.Image]:
    """Open a file of any format but EPS, which Pillow gives to Ghostscript; refuse it by its size in pixels."""
    Image.init()
    content = path if isinstance(path, Path) else io.BytesIO(path.read_bytes())
    with Image.open(content, formats=[name for name in Image.ID if name != "EPS"]) as image:
        pixels = image.width * image.height
        if Image.MAX_IMAGE_PIXELS and pixels > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(
                f"{image.width}x{image.height} is more than {Image.MAX_IMAGE_PIXELS:,} pixels"
            )
        yield image


def _eight_bits(image: Image.Image, kind: str | None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):  # of which Pillow makes 0 to 65535
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, of no known range; save it with 8 or 16")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not _is_transparent(image):
        return image
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _turned(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except ERRORS:  # a damaged EXIF block, in a picture that may be whole
        return 1


def _look(path: Picture) -> int:
    try:
        with _opened(path) as image:
            turned = TURNED * (_orientation(image) in TURNS)
            return turned + DEEP * image.mode.startswith("I") + TRANSPARENT * _is_transparent(image)
    except ERRORS:
        return 0


def _why_unreadable(path: Picture) -> str | None:
    try:
        with _opened(path) as image:
            image.draft("RGB", (8, 8))
            _eight_bits(image, image.format).convert("RGB")
    except ERRORS as error:
        return _reason(path, error)
    return None


def _reason(path: Picture, error: Exception) -> str:
    """Why a file does not decode, in words."""
    try:
        head = path.read_bytes()[:512].lstrip().lower()
        if size_of(path) == 0:
            return "the file is empty"
    except OSError:
        head = b""
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page"
    return " ".join((str(error) or type(error).__name__).split())


def _each(paths: Sequence[Picture], work: Callable[[Picture], T], what: str) -> list[T]:
    """The results of some work on every path, in threads."""

    def block(number: int) -> list[T]:
        return [work(path) for path in paths[number * BLOCK : (number + 1) * BLOCK]]

    with closing(in_threads(block, -(-len(paths) // BLOCK))) as blocks:
        return [each for those in with_progress(blocks, what, len(paths), 0, BLOCK) for each in those]
