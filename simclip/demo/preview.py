"""A contact sheet of the demo: one family of each kind and every flag, with captions."""

from __future__ import annotations

import csv
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw

from simclip.demo.dataset import FAMILY_SIZE, ensure_dataset
from simclip.demo.flags import NATIONS
from simclip.demo.scenes import KINDS

PICTURE, TEXT, COLUMNS = 144, 64, FAMILY_SIZE


def write_preview(file: Path) -> Path:
    """Write a PNG with the first family of each kind of scene and one flag per nation; returns its path."""
    folder = ensure_dataset()
    train, rare = (_rows(folder / name) for name in ("train.tsv", "rare.tsv"))
    cells = train[: FAMILY_SIZE * len(KINDS)] + rare[:: len(rare) // len(NATIONS)]
    height = -(-len(cells) // COLUMNS) * (PICTURE + TEXT)
    sheet = Image.new("RGB", (COLUMNS * (PICTURE + 8), height), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, caption) in enumerate(cells):
        x, y = i % COLUMNS * (PICTURE + 8), i // COLUMNS * (PICTURE + TEXT)
        with Image.open(folder / "images" / image) as picture:
            sheet.paste(picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS), (x, y))
        pen.text((x, y + PICTURE + 2), "\n".join(wrap(caption, 24)), fill="black")
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)
    return file


def _rows(tsv: Path) -> list[tuple[str, str]]:
    with open(tsv, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["image"], row["caption1"]) for row in rows]
