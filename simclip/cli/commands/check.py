"""`tune.py check`: do all images exist and decode, and is no evaluation image also a training image?"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join, quote
from typing import Annotated

import tyro
from rich.console import Console

from simclip.cli.exits import DONE, FAILED
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.config.uris import is_uri
from simclip.data.pair_table import read_table
from simclip.data.picture import Member, Picture
from simclip.data.picture_file import Exif, picture_notes, unreadable
from simclip.data.sources import SOURCES, is_table
from simclip.data.sources.places import files_of
from simclip.data.table import KNOWN, Reading, Table
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import EvaluationSet
from simclip.prepare.overlap import Match, find_overlaps
from simclip.prepare.write_table import write_whole
from simclip.study.execution.preflight import arms_by_input
from simclip.study.store.study_file import load_with_data

#: Maximum number of images to name in a line.
NAMED = 3
#: Maximum number of lines about images that do not decode.
LISTED = 100


@dataclass(frozen=True)
class Files:
    """The images that a study or some tables name.

    Attributes:
        trained: Training images, each with its table.
        evaluated: Images of each evaluation set, by its name.
        notes: Lines about tables whose rows were merged.
        exif: What a study does with the EXIF orientation of pictures.
    """

    trained: Mapping[Picture, Table]
    evaluated: Mapping[str, Sequence[Picture]]
    notes: list[str] = field(default_factory=list)
    exif: Exif = "ignore"


def check(
    targets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY|TABLE")],
    images: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="DIR")] = (),
    pixels: bool = False,
    fast: bool = False,
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Check that every image decodes and that no evaluation image is trained on (else exit code 1).

    Args:
        targets: a study file and overrides; or a training table and any tables to evaluate on.
        images: image folder of the tables: one for all of them, or one per table; by default each table's own.
        pixels: also compare decoded pixels, which finds images that were re-encoded without loss.
        fast: only look whether the images exist; do not decode them.
        to: write the names of the training images found in evaluation sets to this file, for prepare's --exclude.
    """
    console = SafeConsole()
    if not targets:
        raise InputError("nothing to check: give a study file, or a training table and any tables to evaluate on")
    _check_kind(Path(targets[0]))
    files = _of_tables(targets, images) if is_table(targets[0]) else _of_study(targets, images)
    for line in files.notes:
        say(console, line)
    bad = {} if fast else _decode_all(console, files)
    if files.evaluated:
        say(console, f"Comparing {len(files.trained):,} training images with {len(files.evaluated)} evaluation sets...")
    whole = {name: [path for path in paths if path not in bad] for name, paths in files.evaluated.items()}
    found = find_overlaps([path for path in files.trained if path not in bad], whole, pixels)
    say(console, f"training: {len(files.trained):,} images, all there")
    for name, paths in files.evaluated.items():
        for line in lines_of(name, len(set(paths)), found[name]):
            say(console, line)
    if not fast and not bad:
        say(console, "every image decodes")
    for line in _lines_of_bad(bad):
        say(console, line)
    matches = [each for matches in found.values() for each in matches if each.same_picture]
    seen = list(dict.fromkeys(path for each in matches for path in each.trained))
    if to is not None:
        names = [_name(path, files.trained[path]) for path in seen]
        write_whole(to, "".join(f"{name}\n" for name in names))
        say(console, f"{to}: the names of {len(seen):,} training images")
    if not seen:
        return FAILED if bad else DONE
    say(console, "To keep them out of training:")
    for command in _commands(files, seen, to):
        say(console, f"  {command}")
    return FAILED


def _name(image: Picture, table: Table) -> str:
    """The name of a training image relative to its table's image folder, as `prepare --exclude` takes it."""
    file = image.shard.path if isinstance(image, Member) else image
    return os.path.relpath(file, _folder(table)) + (f"/{image.key}" if isinstance(image, Member) else "")


def _folder(table: Table) -> Path:
    """The image folder of a table; by default the one that all of its files are in."""
    return table.image_dir or Path(os.path.commonpath([each.path.absolute().parent for each in files_of(table.tsv)]))


def _check_kind(target: Path) -> None:
    """Refuse what is neither a study file nor a table.

    Raises:
        InputError: It is a folder, or a file of another kind.
    """
    if is_table(str(target)):
        return
    if target.is_dir():
        inside = target / "study.yaml"
        raise InputError(
            f"{target} is a folder: give a study file{f', such as {inside}' * inside.is_file()}, or a table"
        )
    if target.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"{target}: expected a study file (.yaml) or a table of pairs ({', '.join(SOURCES)})")


def _decode_all(console: Console, files: Files) -> dict[Picture, str]:
    """Decode every image, and print what is particular about them; returns those that do not decode, and why."""
    sets = {"training": list(files.trained), **files.evaluated}
    every = list(dict.fromkeys(path for paths in sets.values() for path in paths))
    say(console, f"Decoding {len(every):,} images...")
    bad = unreadable(every)
    for name, paths in sets.items():
        for line in picture_notes(name, paths, files.exif):
            say(console, line)
    return bad


def _lines_of_bad(bad: Mapping[Picture, str]) -> list[str]:
    if not bad:
        return []
    listed = [f"  {path}: {why}" for path, why in list(bad.items())[:LISTED]]
    more = [f"  and {len(bad) - LISTED:,} more"] if len(bad) > LISTED else []
    advice = "replace them, or leave those of the training tables out with train.bad_images=skip"
    return [f"{len(bad):,} images do not decode; {advice}:", *listed, *more]


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


def _commands(files: Files, seen: Iterable[Picture], to: Path | None) -> list[str]:
    """Commands that keep the images out: first one that lists their names, then one per table."""
    if to is None:
        return [join(["python", *sys.argv, "--to", "seen.txt"])]
    tables = dict.fromkeys(files.trained[path] for path in seen)
    return [
        f"python tune.py prepare tsv --annotations {quote(str(table.tsv))} --images {quote(str(_folder(table)))} "
        f"--exclude {quote(str(to))} --out {quote(_unseen(table))}"
        for table in tables
    ]


def _unseen(table: Table) -> str:
    """The name of a new table beside an old one: train-unseen.tsv beside train.tsv or train-{00..99}.tar."""
    path = Path("pairs") if is_uri(table.tsv) else Path(table.tsv)
    return str(path.with_name((re.sub(r"[-_]?[{*?[].*", "", path.stem) or "pairs") + "-unseen.tsv"))


def _of_study(targets: Sequence[str], images: Sequence[Path]) -> Files:
    """The images of all arms, including the test sets of the confirm stage."""
    if images:
        raise InputError("--images is for tables: a study file names its image folders itself")
    configs = [arm.config for arm in arms_by_input(load_with_data(Path(targets[0]), tuple(targets[1:])))]
    tables = [(each, config.reading) for config in configs for each in config.tables]
    sets: list[tuple[EvaluationSet, Reading]] = []
    sets += [(each, config.reading) for config in configs for each in config.evaluation_sets]
    evaluated: dict[str, list[Picture]] = {}
    trained, notes = _trained(list({repr(pair): pair for pair in tables}.values()))
    for each, reading in {repr(pair): pair for pair in sets}.values():
        contents = each.read(reading)
        evaluated.setdefault(each.name, []).extend(contents.images)
        notes += contents.notes
    return Files(trained, evaluated, list(dict.fromkeys(notes)), configs[0].exif)


def _of_tables(targets: Sequence[str], images: Sequence[Path]) -> Files:
    if len(images) not in (0, 1, len(targets)):
        raise InputError(
            f"--images is given {len(images)} times: give one for all {len(targets)} tables, one per table, or none"
            if len(targets) > 1
            else f"--images is given {len(images)} times: give the folder of the images of {targets[0]}"
        )
    folders = images if len(images) > 1 else [images[0] if images else None] * len(targets)
    (first, folder), *rest = zip(targets, folders, strict=True)
    trained, notes = _trained([(Table.model_validate({"tsv": first, "image_dir": folder}), KNOWN)])
    tables = {tsv: read_table(tsv, place) for tsv, place in rest}
    notes += [note for table in tables.values() for note in table.notes]
    return Files(trained, {name: table.images for name, table in tables.items()}, notes)


def _trained(tables: Iterable[tuple[Table, Reading]]) -> tuple[dict[Picture, Table], list[str]]:
    """The training images, each with its table, and the notes of the tables."""
    trained: dict[Picture, Table] = {}
    notes: list[str] = []
    for table, reading in tables:
        found = read_table(table.tsv, table.image_dir, reading)
        trained |= dict.fromkeys(found.images[: table.limit], table)
        notes += found.notes
    return trained, notes
