"""Readers of published annotation files: image names and their captions, one reader per format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from PIL import Image
from pydantic import BaseModel, FailFast, ValidationError

from simclip.config.explain import dotted
from simclip.data.pair_table import read_rows
from simclip.errors import InputError

Schema = TypeVar("Schema", bound=BaseModel)
Item = TypeVar("Item")
#: A list that stops at its first wrong item, because files hold hundreds of thousands.
Items = Annotated[list[Item], FailFast()]

#: `name.jpg#0<tab>caption`, the format of Flickr8k.token.txt and results_20130124.token.
TOKEN = re.compile(r"(?P<image>[^\t]+)#\d+[ ]*\t(?P<caption>.*)")
#: `name.jpg| 0| caption`, Flickr30k's results.csv. One line of the published file lacks its second bar.
BARS = re.compile(r"(?P<image>[^|]+)\|\s*\d+(?:(?P<bar>\s*\|)|\s)(?P<caption>.*)")
BARS_HEADER = re.compile(r"image_name\s*\|\s*comment_number\s*\|\s*comment\s*")


@dataclass(frozen=True)
class Described:
    """An image, named relative to the image folder, with its captions as the annotations have them."""

    image: str
    captions: list[str]


class _CocoImage(BaseModel):
    id: int
    file_name: str


class _CocoCaption(BaseModel):
    image_id: int
    caption: str


class _Coco(BaseModel):
    images: Items[_CocoImage]
    annotations: Items[_CocoCaption]


class _Sentence(BaseModel):
    raw: str


class _KarpathyImage(BaseModel):
    filename: str
    filepath: str = ""
    split: str
    sentences: Items[_Sentence]


class _Karpathy(BaseModel):
    images: Items[_KarpathyImage]


def read_coco(path: Path) -> list[Described]:
    """Read COCO captions, such as captions_train2017.json, in the order of the file.

    Raises:
        InputError: The file is missing or in another format, or a caption belongs to no image.
    """
    file = _read_json(path, _Coco, "COCO captions", "an instances or keypoints file has none: give captions_*.json")
    captions: dict[int, list[str]] = {image.id: [] for image in file.images}
    if len(captions) < len(file.images):
        raise InputError(f"{path}: {len(file.images) - len(captions)} image ids occur twice; download the file again")
    for number, each in enumerate(file.annotations):
        if each.image_id not in captions:
            raise InputError(f"{path}: annotations[{number}] refers to image {each.image_id}, which is not in images")
        captions[each.image_id].append(each.caption)
    return [Described(image.file_name, captions[image.id]) for image in file.images]


def read_karpathy(path: Path, splits: Sequence[str]) -> tuple[list[Described], dict[str, int]]:
    """Read splits of Karpathy's dataset_coco.json, dataset_flickr8k.json or dataset_flickr30k.json.

    Names of COCO images include the folder from the file: val2014/COCO_val2014_000000391895.jpg.

    Returns:
        The images of these splits, and the number of images in every split of the file.

    Raises:
        InputError: The file is missing or in another format, or has no such split.
    """
    splits = [split.strip() for split in splits]
    images = _read_json(path, _Karpathy, "Karpathy's splits", "give a file such as dataset_coco.json").images
    counts = dict(Counter(each.split for each in images))
    if unknown := [split for split in splits if split not in counts]:
        there = ", ".join(f"{split} ({count:,} images)" for split, count in counts.items())
        raise InputError(f"{path} has no split {unknown[0]!r}; it has {there}")
    described = [
        Described(f"{each.filepath}/{each.filename}".lstrip("/"), [sentence.raw for sentence in each.sentences])
        for each in images
        if each.split in splits
    ]
    return described, counts


def _read_json(path: Path, schema: type[Schema], what: str, otherwise: str) -> Schema:
    """Read a JSON file of a schema, or raise an InputError that says what is wrong with it."""
    if not path.is_file():
        raise InputError(f"no such annotation file: {path}")
    content = path.read_bytes()
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        if first["type"] == "json_invalid":
            otherwise = "it is cut off or not JSON: download it again"
        elif schema is _Coco and b'"sentences"' in content:
            otherwise = "it looks like Karpathy's splits: python tune.py prepare karpathy"
        elif schema is _Karpathy and b'"annotations"' in content:
            otherwise = "it looks like COCO's captions: python tune.py prepare coco"
        wrong = "missing" if first["type"] == "missing" else first["msg"]
        where = f"{dotted(first['loc'])}: " if first["loc"] else ""
        raise InputError(f"{path} is not a file of {what} ({where}{wrong}); {otherwise}") from error


def read_flickr(path: Path) -> tuple[list[Described], int]:
    """Read captions of Flickr8k or Flickr30k: a `token` file, or the csv with fields separated by bars.

    Returns:
        The images in order of first occurrence, and the number of lines without a second bar (the published csv has
        one).

    Raises:
        InputError: The file is missing, empty or in another format.
    """
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise InputError(f"{path} is empty: expected lines such as name.jpg#0, a tab, and a caption")
    shape = BARS if BARS_HEADER.fullmatch(first[1]) else TOKEN
    captions: dict[str, list[str]] = {}
    unbarred = 0
    for number, line in lines if shape is BARS else [first, *lines]:
        found = shape.fullmatch(line)
        if not found:
            expected = "name.jpg| 0| caption" if shape is BARS else "name.jpg#0, a tab and a caption (a token file)"
            or_else = "" if shape is BARS or number > 1 else ", or the header image_name| comment_number| comment"
            raise InputError(f"{path}, line {number}: expected {expected}{or_else}; got {line[:60]!r}")
        unbarred += shape is BARS and found["bar"] is None
        captions.setdefault(found["image"].strip(), []).append(found["caption"])
    if not captions:
        raise InputError(f"{path} has a header but no captions")
    return [Described(image, those) for image, those in captions.items()], unbarred


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line that is not blank."""
    if not path.is_file():
        raise InputError(f"no such annotation file: {path}")
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): convert it") from error


def read_sidecar(folder: Path) -> tuple[list[Described], int]:
    """Read a folder of images, each next to a .txt file of the same name with one caption per line.

    Subfolders are included; names that begin with a dot are skipped.

    Returns:
        The images sorted by name, and the number of .txt files without an image.

    Raises:
        InputError: The folder is missing or has no images, or an image has no .txt file.
    """
    if not folder.is_dir():
        raise InputError(f"no such image folder: {folder}")
    known = set(Image.registered_extensions())
    files = [path for path in sorted(folder.rglob("*")) if not _hidden(path.relative_to(folder)) and path.is_file()]
    images = [path for path in files if path.suffix.lower() in known]
    if not images:
        raise InputError(f"{folder} contains no images: give a folder of images with .txt files next to them")
    texts = {path for path in files if path.suffix == ".txt"}
    beside = [image.with_suffix(".txt") for image in images]
    if bare := [image for image, text in zip(images, beside, strict=True) if text not in texts]:
        name = bare[0].relative_to(folder)
        raise InputError(f"{len(bare)} of {len(images)} images in {folder} have no .txt file next to them, the first "
                         f"{name}: write {name.with_suffix('.txt')}, or move such images elsewhere")  # fmt: skip
    described = [
        Described(image.relative_to(folder).as_posix(), [line for _, line in _lines(text)])
        for image, text in zip(images, beside, strict=True)
    ]
    return described, len(texts - set(beside))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_table_again(place: Path | str, image_dir: Path) -> tuple[list[Described], int]:
    """Read an existing caption table of any format, from which images are then excluded.

    Args:
        place: The table; see `read_table`.
        image_dir: Folder that the names of images are relative to, as shards are.

    Returns:
        The images in order of first occurrence, with the captions of all their rows; and the number of rows.

    Raises:
        InputError: The file or its columns are wrong.
    """
    rows = read_rows(place, image_dir)
    captions: dict[str, list[str]] = {}
    for image, those in rows:
        captions.setdefault(image, []).extend(those)
    return [Described(image, those) for image, those in captions.items()], len(rows)
