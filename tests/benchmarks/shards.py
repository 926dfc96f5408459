"""A million pairs of tiny pictures in tar shards, beside such pictures as files: index, store, plan and loader.

python -m tests.benchmarks.shards FOLDER shards|files   prints CPU seconds of each stage and the peak memory, as JSON.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from simclip.data.pair_table import read_training_tables
from simclip.models.clip import Clip
from simclip.models.tiny import make_tiny_clip
from simclip.train.config import TrainConfig
from simclip.train.load import load_data
from simclip.train.planning import Planner
from tests.benchmarks import ours
from tests.benchmarks.rows import Row
from tests.benchmarks.timing import own_peak, printed_by

T = TypeVar("T")

MANY, FEW, IN_A_SHARD, BATCH = 1_000_000, 20_000, 10_000, 1024
WORDS = ["".join(letters) for letters in product("bdfgklmnpr", "aeiou", "stvwz", "aeio")]
GIB, GOAL = 2**30, 8.0
STAGES = {
    "index": "Captions, and where each picture is; files are looked for one by one.",
    "store": "Tokens, and pictures decoded into the store, 18 x 18 pixels each.",
    "load again": "What every further trial does: reads the caches, after a look whether the files have changed.",
}
#: Number of batches that are planned and loaded, of 976 in an epoch of a million pairs: some whole blocks of anchors.
BATCHES = 61


def rows(full: bool) -> Iterator[Row]:
    """A row per stage with the files as reference, and the memory of both."""
    count, few = (MANY, MANY // 10) if full else (FEW, FEW)
    with TemporaryDirectory() as scratch:
        write_pairs(Path(scratch), count, few)
        shards, files = (printed_by("shards", scratch, kind) for kind in ("shards", "files"))
    size = f"{count:,} pairs"
    files_note = f"{few:,} of the same pictures as files, extrapolated" if few < count else "the same pictures as files"
    for stage, note in STAGES.items():
        yield Row(
            f"pairs in shards, {stage}", size, files[stage] * count / few / shards[stage], "x",
            files[stage] * count / few, shards[stage],
            note=f"CPU seconds; 8 x 8 pixels; reference: {files_note}. {note}",
        )  # fmt: skip
    planned = min(BATCHES, count // BATCH)
    yield Row("pairs in shards, captions embedded", size, shards["embed"], "s", ours=shards["embed"],
              note="CPU seconds, once per epoch; 512 dimensions, by a text tower of width 32.")  # fmt: skip
    yield Row("pairs in shards, planned and loaded, per batch", size, shards["batches"] / planned, "s",
              ours=shards["batches"] / planned, note=f"CPU seconds; k = 16, p = 1/2, N = 1,024, the first {planned} "
              "batches of an epoch, without training steps.")  # fmt: skip
    yield Row(
        "peak memory, pairs in shards", size, shards["peak"] / GIB, "GiB", goal=GOAL, at_most=True,
        note=f"Resident memory of these stages in one process; {shards['loaded'] / GIB:.3g} GiB before the batches. "
        f"{few:,} files took {files['loaded'] / GIB:.3g} GiB.",
    )  # fmt: skip


def write_pairs(folder: Path, count: int, few: int) -> None:
    """Write shards/00000.tar, ... of jpg and txt, and the first pictures again as files/ with pairs.tsv."""
    random = np.random.default_rng(0)
    pictures = [_jpeg(random) for _ in range(1000)]
    (folder / "shards").mkdir()
    with (folder / "pairs.tsv").open("w", encoding="utf-8") as table:
        table.write("image\tcaption1\n")
        for number, begin in enumerate(range(0, count, IN_A_SHARD)):
            (folder / f"files/{number:05d}").mkdir(parents=True)
            with tarfile.open(folder / f"shards/{number:05d}.tar", "w") as tar:
                for row, caption in enumerate(_captions(random, min(IN_A_SHARD, count - begin)), start=begin):
                    picture, name = pictures[row * 7 % 1000], f"{number:05d}/{row:09d}.jpg"
                    _add(tar, f"{row:09d}.jpg", picture)
                    _add(tar, f"{row:09d}.txt", caption.encode())
                    if row < few:
                        (folder / "files" / name).write_bytes(picture)
                        table.write(f"{name}\t{caption}\n")


def _captions(random: np.random.Generator, count: int) -> Iterator[str]:
    """Ten words out of a thousand each, some of which are more frequent than others."""
    for numbers in (1000 * random.random((count, 10)) ** 2).astype(int).tolist():
        yield " ".join(WORDS[number] for number in numbers)


def _jpeg(random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def run(folder: Path, kind: str) -> dict[str, float]:
    """CPU seconds of each stage, and bytes of memory at the peak: until the pairs are loaded, and in all."""
    os.environ["SIMCLIP_CACHE"] = str(folder / f"cache-{kind}")
    config = TrainConfig(
        train_tsv=folder / {"shards": "shards/*.tar", "files": "pairs.tsv"}[kind], train_image_dir=folder / "files",
        image_store="on", batch_size=BATCH, cluster_size=16, proportion=0.5,
    )  # fmt: skip
    clip, seconds = _clip(), {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        begin = time.process_time()
        result = work()
        seconds[stage] = time.process_time() - begin
        print(f"{kind}, {stage}: {seconds[stage]:.3g} CPU s, peak {own_peak() / GIB:.3g} GiB", file=sys.stderr)
        return result

    timed("index", lambda: read_training_tables(config.tables, config.reading))
    timed("store", lambda: load_data(config, clip))
    data = timed("load again", lambda: load_data(config, clip))
    seconds["loaded"] = own_peak()
    if kind == "shards":
        planner = Planner(config, data, ours.encoder(clip, config, torch.device("cpu")))
        plan = timed("embed", lambda: planner.plan(0))
        timed("batches", lambda: deque(data.batches(islice(plan, BATCHES), slice(None), seed=1, epoch=0), maxlen=0))
    return {**seconds, "peak": own_peak()}


def _clip() -> Clip:
    """A tiny model whose embeddings have 512 dimensions, as CLIP's."""
    captions = _captions(np.random.default_rng(1), 2000)
    clip = make_tiny_clip(captions, image_size=16, patch_size=8, width=32, layers=1)
    clip.model.text_projection = torch.nn.Linear(32, 512, bias=False)
    return clip


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
