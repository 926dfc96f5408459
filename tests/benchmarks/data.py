"""What is measured on: unit vectors, the real captions and photographs beside the project, and tiny pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.benchmarks.rows import Skipped

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
CAPTIONS = SHARED / "captions" / "flickr30k_captions.tsv.gz"
REAL = SHARED / "real"
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 220), "white": (245, 245, 245)}


def unit_vectors(rows: int, dimensions: int = 512) -> np.ndarray:
    """float32 [rows, dimensions], in random directions."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def real_captions() -> list[str]:
    """One caption of each of the 31,014 rows, drawn: the columns run from long to short."""
    if not CAPTIONS.is_file():
        raise Skipped(f"no captions: {CAPTIONS} is not there")
    _, columns = read_columns(CAPTIONS)
    chosen = np.random.default_rng(0).integers(len(columns), size=len(columns[0]))
    return [columns[column][row] for row, column in enumerate(chosen)]


def real_photographs() -> Path:
    """The folder with train.tsv, val.tsv and images/."""
    if not (REAL / "train.tsv").is_file():
        raise Skipped(f"no photographs: {REAL} with train.tsv, val.tsv and images/ is not there")
    return REAL


def read_columns(tsv: Path) -> tuple[list[str], list[list[str]]]:
    """The image names of a table, and its captions column by column."""
    frame = pd.read_csv(tsv, sep="\t", quoting=3, na_filter=False, dtype=str)
    columns = [frame[name].tolist() for name in frame.columns if name.startswith("caption")]
    return frame.iloc[:, 0].tolist(), columns


def photographs(name: str = "train") -> list[Path]:
    """The pictures of one of its tables, in order."""
    folder = real_photographs()
    return [folder / "images" / each for each in read_columns(folder / f"{name}.tsv")[0]]


def enlarged(folder: Path, paths: Sequence[Path], longer_side: int = 500) -> list[Path]:
    """Copies of photographs in the size that Flickr serves; those beside the project were made smaller."""
    folder.mkdir(parents=True)
    copies = [folder / path.name for path in paths]
    for path, copy in zip(paths, copies, strict=True):
        with Image.open(path) as image:
            scale = longer_side / max(image.size)
            size = round(image.width * scale), round(image.height * scale)
            image.resize(size, Image.Resampling.BICUBIC).save(copy, quality=90)
    return copies


def write_pairs(folder: Path, name: str, rows: int) -> Path:
    """Write <name>.tsv and small two-coloured pictures in images/."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    names = list(COLOURS)
    lines = ["image\tcaption1\tcaption2"]
    for row in range(rows):
        ground, shape = names[row % 4], names[row // 4 % 4]
        pixels = np.full((40, 48, 3), COLOURS[ground], dtype=np.uint8)
        pixels[8:24, row % 32 : row % 32 + 16] = COLOURS[shape]
        pixels[row % 40, row % 48] = 0
        Image.fromarray(pixels).save(images / f"{name}{row}.png")
        lines.append(f"{name}{row}.png\t{row}, {shape} on {ground}\ta {ground} ground with {shape}, {row} to the right")
    path = folder / f"{name}.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
