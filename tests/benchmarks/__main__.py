"""python -m tests.benchmarks: speed and memory beside the original's way of each step, in one run, as a table and JSON.

Run it from the project's folder. Short by default: under five minutes on two cores; `--full` plans whole epochs and
repeats more. Benchmarks of real captions and photographs want them in ../shared, the one of trials wants Ray, the GPU's
a GPU, and OpenCLIP's trainer an environment with OpenCLIP; what is not there is skipped, and the table says so. The
GPU's and the one of a thousand trials can also be run by themselves (see `gpu` and `trials`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, get_args

import torch
import tyro
from rich.console import Console

from tests.benchmarks.machine import cores, describe_machine
from tests.benchmarks.rows import Row, Skipped
from tests.benchmarks.table import as_json, markdown, rich_table

Name = Literal[
    "selection", "refresh", "item", "loop", "overhead", "trials", "peers.open_clip", "evaluation", "memory", "lora",
    "methods", "shards", "gpu",
]  # fmt: skip
#: Those that a run without --only measures; `trials` takes a quarter of an hour.
NAMES: tuple[Name, ...] = tuple(name for name in get_args(Name) if name != "trials")


def main(
    full: bool = False,
    only: Annotated[tuple[Name, ...], tyro.conf.arg(metavar="NAME...")] = NAMES,
    out: Path = Path("results/benchmarks.json"),
    markdown_too: Annotated[bool, tyro.conf.arg(name="markdown")] = False,
    threads: int | None = None,
) -> None:
    """Measure, print the table, write JSON.

    Args:
        full: all sizes, whole epochs, more repeats.
        only: some of the benchmarks.
        out: JSON file to write.
        markdown_too: print the table as Markdown instead, for docs/benchmarks.md.
        threads: of torch; by default one for each core.
    """
    torch.set_num_threads(threads or cores())
    console, progress = Console(width=None if sys.stdout.isatty() else 150), Console(stderr=True)
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    with TemporaryDirectory() as cache:
        os.environ["SIMCLIP_CACHE"] = cache  # nothing is measured that an earlier run has made
        for name in only:
            begin = time.perf_counter()
            try:
                for row in importlib.import_module(f"tests.benchmarks.{name}").rows(full):
                    rows.append(row)
                    progress.print(f"{name}: {row.name}, {row.size}: {row.figure:.3g} {row.unit}", highlight=False)
            except Skipped as reason:
                skipped[name] = str(reason)
            progress.print(f"{name}: {time.perf_counter() - begin:.0f} s in all", highlight=False)
    machine = describe_machine()
    if markdown_too:
        print(markdown(rows, machine))
    else:
        console.print(rich_table(rows, machine))
    for benchmark, why in skipped.items():
        console.print(f"skipped: {benchmark}: {why}", style="yellow", highlight=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(as_json(rows, machine, skipped), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
