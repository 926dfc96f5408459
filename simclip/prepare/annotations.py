"""Annotation files as they are published, read into image names and their captions: one small reader per format."""

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
#: A list whose first wrong item ends the reading: files hold hundreds of thousands.
Items = Annotated[list[Item], FailFast()]

#: `name.jpg#0<tab>caption`, as Flickr8k.token.txt and results_20130124.token have it.
TOKEN = re.compile(r"(?P<image>[^\t]+)#\d+[ ]*\t(?P<caption>.*)")
#: `name.jpg| 0| caption`, Flickr30k's results.csv. One line of the published file lacks its second bar.
BARS = re.compile(r"(?P<image>[^|]+)\|\s*\d+(?:(?P<bar>\s*\|)|\s)(?P<caption>.*)")
BARS_HEADER = re.compile(r"image_name\s*\|\s*comment_number\s*\|\s*comment\s*")


@dataclass(frozen=True)
class Described:
    """An image, by its name inside the image folder, and its captions as they stand in the annotations."""

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
    """COCO's captions_train2017.json and its like: images in the file's order, captions in the annotations' order.

    Raises:
        InputError: The file is missing or something else, or a caption belongs to no image.
    """
    file = _read_json(path, _Coco, "COCO captions", "an instances or keypoints file has none: give captions_*.json")
    captions: dict[int, list[str]] = {image.id: [] for image in file.images}
    if len(captions) < len(file.images):
        raise InputError(f"{path}: {len(file.images) - len(captions)} image ids stand twice; get the file again")
    for number, each in enumerate(file.annotations):
        if each.image_id not in captions:
            raise InputError(f"{path}: annotations[{number}] is about image {each.image_id}, which images lacks")
        captions[each.image_id].append(each.caption)
    return [Described(image.file_name, captions[image.id]) for image in file.images]


def read_karpathy(path: Path, splits: Sequence[str]) -> tuple[list[Described], dict[str, int]]:
    """Some splits of Karpathy's dataset_coco.json, dataset_flickr8k.json or dataset_flickr30k.json.

    COCO's images are named with the folder that the file gives them: val2014/COCO_val2014_000000391895.jpg.

    Returns:
        The images of these splits; and the number of images in every split.

    Raises:
        InputError: The file is missing or something else, or has no such split.
    """
    splits = [split.strip() for split in splits]
    images = _read_json(path, _Karpathy, "Karpathy's splits", "give dataset_coco.json or one of its like").images
    counts = dict(Counter(each.split for each in images))
    if unknown := [split for split in splits if split not in counts]:
        there = ", ".join(f"{split} ({count:,} images)" for split, count in counts.items())
        raise InputError(f"{path} has no split {unknown[0]!r} but {there}")
    described = [
        Described(f"{each.filepath}/{each.filename}".lstrip("/"), [sentence.raw for sentence in each.sentences])
        for each in images
        if each.split in splits
    ]
    return described, counts


def _read_json(path: Path, schema: type[Schema], what: str, otherwise: str) -> Schema:
    """A JSON file of one schema, or one line that says what it is not."""
    if not path.is_file():
        raise InputError(f"no such annotation file: {path}")
    content = path.read_bytes()
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        if first["type"] == "json_invalid":
            otherwise = "it is cut off, or another file: get it again"
        elif schema is _Coco and b'"sentences"' in content:
            otherwise = "it looks like Karpathy's splits: python tune.py prepare karpathy"
        elif schema is _Karpathy and b'"annotations"' in content:
            otherwise = "it looks like COCO's captions: python tune.py prepare coco"
        wrong = "missing" if first["type"] == "missing" else first["msg"]
        where = f"{dotted(first['loc'])}: " if first["loc"] else ""
        raise InputError(f"{path} is no file of {what} ({where}{wrong}); {otherwise}") from error


def read_flickr(path: Path) -> tuple[list[Described], int]:
    """Flickr8k's or Flickr30k's captions: a `token` file, or the csv whose fields are set apart by bars.

    Returns:
        The images in the order in which the file first names them; and the number of lines without their second bar,
        of which the published csv has one.

    Raises:
        InputError: The file is missing or something else; a line is neither.
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
    """The lines that are not blank, with their numbers."""
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
    """A folder of images, each beside a .txt file of the same name that holds a caption per line.

    Folders inside it are read too; names that begin with a dot are not.

    Returns:
        The images in the order of their names; and the number of .txt files that belong to no image.

    Raises:
        InputError: There is no such folder, it has no images, or one has no .txt file.
    """
    if not folder.is_dir():
        raise InputError(f"no such image folder: {folder}")
    known = set(Image.registered_extensions())
    files = [path for path in sorted(folder.rglob("*")) if not _hidden(path.relative_to(folder)) and path.is_file()]
    images = [path for path in files if path.suffix.lower() in known]
    if not images:
        raise InputError(f"{folder} holds no images")
    texts = {path for path in files if path.suffix == ".txt"}
    beside = [image.with_suffix(".txt") for image in images]
    if bare := [image for image, text in zip(images, beside, strict=True) if text not in texts]:
        name = bare[0].relative_to(folder)
        raise InputError(f"{len(bare)} of {len(images)} images in {folder} have no .txt file beside them, the first "
                         f"{name}: write {name.with_suffix('.txt')}, or move such images elsewhere")  # fmt: skip
    described = [
        Described(image.relative_to(folder).as_posix(), [line for _, line in _lines(text)])
        for image, text in zip(images, beside, strict=True)
    ]
    return described, len(texts - set(beside))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_table_again(path: Path) -> list[Described]:
    """A caption table as it is, to be cut by what is to be kept out.

    Raises:
        InputError: The file or its columns are wrong.
    """
    return [Described(image, captions) for image, captions in read_rows(path)]
