"""Images with true captions and a false one each, from TSV files or from SugarCrepe's JSON files as published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclip.data.image_folder import image_paths
from simclip.data.picture import Picture
from simclip.data.sources.tsv import read_tsv
from simclip.errors import InputError

COLUMNS = ("image", "caption", "negative_caption")
KEYS = ("filename", "caption", "negative_caption")
#: The second true caption of SugarCrepe++, in a column or a key.
SECOND = "caption2"
ENTRY = '{"0": {"filename": ..., "caption": ..., "negative_caption": ...}, ...}'

#: Image name, caption, negative caption, second caption and category.
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class CaptionPairs:
    """Rows of an image, its captions, a false caption (the negative), and a category: how the captions differ.

    Attributes:
        images: The image of each row.
        captions: Its true caption.
        negatives: Its false caption.
        seconds: Its second true caption; the first where a row has none.
        categories: Its category.
    """

    images: list[Picture]
    captions: list[str]
    negatives: list[str]
    seconds: list[str]
    categories: list[str]

    @property
    def category_names(self) -> list[str]:
        """The distinct categories, in the order of the rows."""
        return list(dict.fromkeys(self.categories))


def read_caption_pairs(files: Sequence[Path], image_dir: Path) -> CaptionPairs:
    """Read files of caption pairs and concatenate their rows.

    The category of a row is in the TSV's column `category`; without that column, it is the name of the file.

    Args:
        files: TSVs with the columns image, caption, negative_caption and, optionally, caption2 and category; JSON files
            of entries with filename, caption, negative_caption and, in SugarCrepe++, caption2; or folders, whose JSON
            files are all read.
        image_dir: Folder that the image names are relative to.

    Raises:
        InputError: A file is missing or malformed, or a caption or an image is missing.
    """
    rows = [row for path in files for file in _expanded(path) for row in _read(file, image_dir)]
    return CaptionPairs(*map(list, zip(*rows, strict=True)))


def _expanded(path: Path) -> list[Path]:
    """The file itself, or the JSON files of a folder."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise InputError(f"{path} has no .json file: expected SugarCrepe's, one for each category")
    return files


def _read(file: Path, image_dir: Path) -> list[tuple[Picture, str, str, str, str]]:
    places, rows = _read_json(file) if file.suffix.lower() == ".json" else _read_table(file)
    for place, row in zip(places, rows, strict=True):
        for name, text in zip((*COLUMNS, SECOND, "category"), row, strict=True):
            if not text:
                raise InputError(f"{file}, {place}: no {name}; write one or remove the {place.split()[0]}")
        if "/" in row[4]:
            raise InputError(f"{file}, {place}: category {row[4]!r} has a slash, which metric names cannot contain")
    images = image_paths(file, [row[0] for row in rows], image_dir, lambda row: places[row])
    return [(image, *row[1:]) for image, row in zip(images, rows, strict=True)]


def _read_table(tsv: Path) -> tuple[list[str], list[Row]]:
    """The place of each row in the file, such as "line 7", and the rows."""
    frame = read_tsv(tsv, ", ".join(COLUMNS))
    if absent := [name for name in COLUMNS if name not in frame.columns]:
        raise InputError(
            f"{tsv} has no column {', '.join(absent)} but {', '.join(frame.columns)}: pairs are scored by the columns "
            f"{', '.join(COLUMNS)} and, optionally, category"
        )
    categories = frame["category"] if "category" in frame.columns else [tsv.stem] * len(frame)
    second = SECOND if SECOND in frame.columns else COLUMNS[1]
    rows = list(zip(*(frame[name] for name in (*COLUMNS, second)), categories, strict=True))
    return [f"line {number + 2}" for number in frame.index], rows


def _read_json(file: Path) -> tuple[list[str], list[Row]]:
    """The place of each row in the file, such as "entry '7'", and the rows."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"no such JSON file: {file}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}: not JSON ({error.msg}); expected {ENTRY}") from error
    if isinstance(content, list) and all(isinstance(entry, dict) and SECOND in entry for entry in content):
        content = {str(number): entry for number, entry in enumerate(content)}
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file}: expected {ENTRY}, found {_described(content)}")
    rows = [(*_entry(file, key, entry), file.stem) for key, entry in content.items()]
    return [f"entry {key!r}" for key in content], rows


def _entry(file: Path, key: str, entry: Any) -> tuple[str, str, str, str]:
    if not isinstance(entry, dict):
        raise InputError(f"{file}, entry {key!r}: expected {', '.join(KEYS)}, found {_described(entry)}")
    values = []
    for name in (*KEYS, SECOND if SECOND in entry else KEYS[1]):
        if not isinstance(entry.get(name), str):
            found = f"is {_described(entry[name])}, not text" if name in entry else "is missing"
            raise InputError(f"{file}, entry {key!r}: {name} {found}; every entry has {', '.join(KEYS)}")
        values.append(entry[name].strip())
    return values[0], values[1], values[2], values[3]


def _described(value: Any) -> str:
    """The JSON type of a value, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    name = names.get(type(value), "a number")
    return f"{name} without entries" if isinstance(value, dict | list) and not value else name
