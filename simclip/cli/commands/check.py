"""`tune.py check`: do all images exist, and is no evaluation image also a training image?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join, quote
from typing import Annotated

import tyro
from rich.console import Console

from simclip.cli.exits import DONE, FAILED
from simclip.cli.output import say
from simclip.data.pair_table import read_table
from simclip.data.table import Table
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.prepare.overlap import Match, find_overlaps
from simclip.prepare.write_table import write_whole
from simclip.study.execution.preflight import arms_by_input
from simclip.study.store.study_file import load_with_data

#: Maximum number of images to name in a line.
NAMED = 3


@dataclass(frozen=True)
class Files:
    """The images that a study or some tables name.

    Attributes:
        trained: Training images, each with its table.
        evaluated: Images of each evaluation set, by its name.
    """

    trained: Mapping[Path, Table]
    evaluated: Mapping[str, Sequence[Path]]


def check(
    targets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY|TSV")],
    images: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="DIR")] = (),
    pixels: bool = False,
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Check that every image exists and that no evaluation image is trained on (else exit code 1).

    Args:
        targets: a study file and overrides; or a training table and the tables to evaluate on.
        images: image folder of the tables: one for all of them, or one per table.
        pixels: also compare decoded pixels, which finds images that were re-encoded without loss.
        to: write the names of the training images found in evaluation sets to this file, for prepare's --exclude.
    """
    console = Console()
    if not targets:
        raise InputError("nothing to check: give a study file, or a training table and the tables to evaluate on")
    files = _of_tables(targets, images) if targets[0].endswith(".tsv") else _of_study(targets, images)
    say(console, f"Comparing {len(files.trained):,} training images with {len(files.evaluated)} evaluation sets...")
    found = find_overlaps(list(files.trained), files.evaluated, pixels)
    say(console, f"training: {len(files.trained):,} images, all there")
    for name, paths in files.evaluated.items():
        for line in lines_of(name, len(set(paths)), found[name]):
            say(console, line)
    matches = [each for matches in found.values() for each in matches if each.same_picture]
    seen = list(dict.fromkeys(path for each in matches for path in each.trained))
    if to is not None:
        names = [os.path.relpath(path, files.trained[path].image_dir) for path in seen]
        write_whole(to, "".join(f"{name}\n" for name in names))
        say(console, f"{to}: the names of {len(seen):,} training images")
    if not seen:
        return DONE
    say(console, "To keep them out of training:")
    for command in _commands(files, seen, to):
        say(console, f"  {command}")
    return FAILED


def lines_of(name: str, count: int, matches: Sequence[Match]) -> list[str]:
    """The lines to print about one evaluation set."""
    same = [each for each in matches if each.same_picture]
    alike = [each for each in matches if not each.same_picture]
    ways = {how: sum(each.how == how for each in same) for how in dict.fromkeys(each.how for each in same)}
    by = ", ".join(f"{number:,} by {how}" for how, number in ways.items())
    seen = f"{len(same):,} are trained on ({by}): {_named(same)}" if same else "none is trained on"
    lines = [f"{name}: {count:,} images, all there; {seen}"]
    if alike:
        lines.append(f"{name}: {len(alike):,} more share only the name of a training image: {_named(alike)}")
    return lines


def _named(matches: Sequence[Match]) -> str:
    named = [
        str(each.evaluated) if each.evaluated in each.trained else f"{each.evaluated} = {each.trained[0]}"
        for each in matches[:NAMED]
    ]
    return ", ".join([*named, *(["..."] if len(matches) > NAMED else [])])


def _commands(files: Files, seen: Iterable[Path], to: Path | None) -> list[str]:
    """Commands that keep the images out: first one that lists their names, then one per table."""
    if to is None:
        return [join(["python", *sys.argv, "--to", "seen.txt"])]
    tables = dict.fromkeys(files.trained[path] for path in seen)
    return [
        f"python tune.py prepare tsv --annotations {quote(str(table.tsv))} --images {quote(str(table.image_dir))} "
        f"--exclude {quote(str(to))} --out {quote(str(table.tsv.with_suffix('')) + '-unseen.tsv')}"
        for table in tables
    ]


def _of_study(targets: Sequence[str], images: Sequence[Path]) -> Files:
    """The images of all arms, including the test sets of the confirm stage."""
    if images:
        raise InputError("--images is for tables: a study file names its image folders itself")
    configs = [arm.config for arm in arms_by_input(load_with_data(Path(targets[0]), tuple(targets[1:])))]
    tables = [(each, config.caption_columns) for config in configs for each in config.tables]
    sets: list[tuple[EvaluationSet, list[str] | None]] = []
    sets += [(each, config.caption_columns) for config in configs for each in config.evaluation_sets]
    evaluated: dict[str, list[Path]] = {}
    for each, columns in {repr(pair): pair for pair in sets}.values():
        evaluated.setdefault(each.name, []).extend(each.read(columns).images)
    return Files(_trained(list({repr(pair): pair for pair in tables}.values())), evaluated)


def _of_tables(targets: Sequence[str], images: Sequence[Path]) -> Files:
    if len(targets) < 2:
        raise InputError(f"{targets[0]} alone: also give the tables to evaluate on")
    if len(images) not in (1, len(targets)):
        raise InputError(
            f"--images is given {len(images)} times: give one for all {len(targets)} tables, or one per table"
        )
    folders = images if len(images) > 1 else [*images] * len(targets)
    (first, folder), *rest = zip(map(Path, targets), folders, strict=True)
    evaluated = {str(tsv): read_table(tsv, place).images for tsv, place in rest}
    return Files(_trained([(Table(tsv=first, image_dir=folder), None)]), evaluated)


def _trained(tables: Iterable[tuple[Table, list[str] | None]]) -> dict[Path, Table]:
    trained = {}
    for table, columns in tables:
        for path in read_table(table.tsv, table.image_dir, columns).images[: table.limit]:
            trained[path] = table
    return trained
