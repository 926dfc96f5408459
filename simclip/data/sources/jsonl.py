"""JSONL: an object per line, such as the metadata.jsonl in a folder of pictures for Hugging Face's datasets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from simclip.data.sources.source import File, Rows, Source, caption_columns, image_column, texts_of
from simclip.data.table import Reading
from simclip.errors import InputError

#: Maximum number of bytes in a line.
MAX_LINE = 1 << 24


class Jsonl(Source):
    """An object per line. A caption field holds a text, a list of texts, or null."""

    suffixes = (".jsonl",)

    def read(self, file: File, reading: Reading) -> Rows:
        """See `Source.read`. The columns are those of the first line."""
        images: list[str] = []
        captions: list[str] = []
        counts: list[int] = []
        lines: list[int] = []
        image, columns = "", list[str]()
        for number, entry in _entries(file):
            where = f"{file.title}, line {number}"
            if not columns:
                image = image_column(file.title, list(entry), reading.image_column)
                columns = caption_columns(file.title, list(entry), reading.caption_columns)
            if not isinstance(entry.get(image), str):
                raise InputError(f"{where}: {image} is {entry.get(image)!r:.60}, not the name of a picture")
            try:
                texts = texts_of([entry.get(name) for name in columns])
            except ValueError as error:
                raise InputError(f"{where}: a caption {error}") from None
            images.append(entry[image].strip())
            captions += texts
            counts.append(len(texts))
            lines.append(number)
        if not lines:
            raise InputError(f'{file.title} is empty: expected lines such as {{"file_name": "1.jpg", "text": "a dog"}}')
        return Rows(images, captions, np.array(counts), lambda row: f"line {lines[row]}", columns)


def _entries(file: File) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and content of every line that is not blank."""
    with file.path.open("rb") as source:
        for number, line in enumerate(iter(lambda: source.readline(MAX_LINE), b""), start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{file.title}, line {number}: not JSON ({error}); is it cut off?") from None
            if not isinstance(entry, dict):
                raise InputError(f"{file.title}, line {number}: expected an object such as {{...}}, one per line")
            yield number, entry
