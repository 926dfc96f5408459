"""`tune.py prepare`: tables of pairs from published annotations."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.errors import InputError
from simclip.prepare.annotations import (
    Described,
    read_coco,
    read_flickr,
    read_karpathy,
    read_sidecar,
    read_table_again,
)
from simclip.prepare.coco_ids import coco_id
from simclip.prepare.exclude import Exclusion, names_in
from simclip.prepare.mnist import Digits, write_test_digits
from simclip.prepare.write_table import Prepared, prepare_table

#: COCO files without Karpathy's test images, or that nobody trains on.
CLEAN = ("train2014", "val2017")


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Options of every format."""

    images: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """folder of the images"""
    out: Annotated[Path, tyro.conf.arg(metavar="TSV")]
    """table to write; an existing one is replaced"""
    exclude: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FILE")] = ()
    """images to keep out: a list with a name per line, a TSV, or splits as dataset_coco.json:val,test"""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The rows of the annotations, and notes about them."""
        raise NotImplementedError

    def write(self) -> list[str]:
        """Write the table; returns notes about it."""
        rows, notes = self.rows()
        return [*report(prepare_table(rows, self.images, self.out, self.exclude), self), *notes]

    @property
    def source(self) -> Path:
        """The file or folder to read."""
        return self.images


@dataclass(frozen=True, kw_only=True)
class Annotations(Preparation):
    """Options of the formats with an annotation file."""

    annotations: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """the annotation file"""

    @property
    def source(self) -> Path:
        """The annotation file."""
        return self.annotations


@dataclass(frozen=True, kw_only=True)
class Coco(Annotations):
    """COCO's captions: captions_train2017.json and its like."""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The images of the file, and a warning if Karpathy's test images are among them."""
        rows = read_coco(self.annotations)
        clean = any(part in self.annotations.name for part in CLEAN) or not any(coco_id(row.image) for row in rows)
        if clean or any("COCO_val2014_" in name for source in self.exclude for name in names_in(source)):
            return rows, []
        command = shlex.join(["python", *sys.argv, "--exclude", "dataset_coco.json:val,test"])
        return rows, [
            "Karpathy's validation and test images, on which COCO retrieval is usually reported, come from val2014, "
            "most of which lies in train2017 under other names: a model trained on this table is tested there on what "
            f"it saw. To keep them out, with Karpathy's file: {command}"
        ]


@dataclass(frozen=True, kw_only=True)
class Karpathy(Annotations):
    """Karpathy's splits: dataset_coco.json (its images: the folder above train2014 and val2014), dataset_flickr8k.json,
    dataset_flickr30k.json.
    """

    split: Annotated[str, tyro.conf.arg(metavar="SPLITS")]
    """train,restval or val or test"""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The images of the splits, and a note if `restval` was probably meant too."""
        splits = [split.strip() for split in self.split.split(",")]
        rows, counts = read_karpathy(self.annotations, splits)
        rest = counts.get("restval")
        if "train" in splits and rest and "restval" not in splits:
            return rows, [f"restval is left out: {rest:,} images that are usually trained on (--split train,restval)"]
        return rows, []


@dataclass(frozen=True, kw_only=True)
class Flickr(Annotations):
    """Flickr8k's and Flickr30k's own files: Flickr8k.token.txt, results_20130124.token, results.csv."""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The images of the file."""
        rows, unbarred = read_flickr(self.annotations)
        note = f"{unbarred} lines lack their second bar; what follows the number was read as the caption"
        return rows, [note] if unbarred else []


@dataclass(frozen=True, kw_only=True)
class Sidecar(Preparation):
    """A folder of images, each beside a .txt file of the same name with a caption per line."""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The images of the folder."""
        rows, lonely = read_sidecar(self.images)
        return rows, [f"{lonely} .txt files belong to no image and were not read"] if lonely else []


@dataclass(frozen=True, kw_only=True)
class Table(Annotations):
    """An existing table of pairs, to remove images from it: TSV, CSV, JSONL, Parquet or tar shards."""

    def rows(self) -> tuple[list[Described], list[str]]:
        """The images of the table, and a note if rows that repeat an image were merged."""
        if self.out.absolute() == self.annotations.absolute():
            raise InputError(f"--out {self.out} is the table that is read: name another")
        images, rows = read_table_again(self.annotations, self.images)
        note = f"{rows:,} rows name {len(images):,} images; the captions of each image are merged"
        return images, [note] if len(images) < rows else []


@dataclass(frozen=True, kw_only=True)
class Mnist:
    """Some MNIST digits with captions, the paper's rare set, and the test digits in a folder for each class."""

    mnist_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """folder of MNIST's IDX files, .gz or not"""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """folder to write them into"""
    count: Annotated[int, tyro.conf.arg(metavar="N")] = 50
    """number of training digits, spread evenly over the classes"""
    seed: int = 1
    """seed that chooses the digits"""

    def write(self) -> list[str]:
        """Write both; returns their places."""
        if self.count < 1 or self.seed < 0:
            raise InputError(f"--count {self.count} --seed {self.seed}: expected at least 1 and 0")
        digits = Digits(self.mnist_dir, self.count, self.seed, self.out)
        return [digits.write(), write_test_digits(self.mnist_dir, self.out / "mnist-test")]


Format = (
    Annotated[Coco, tyro.conf.subcommand("coco")]
    | Annotated[Karpathy, tyro.conf.subcommand("karpathy")]
    | Annotated[Flickr, tyro.conf.subcommand("flickr")]
    | Annotated[Sidecar, tyro.conf.subcommand("sidecar")]
    | Annotated[Table, tyro.conf.subcommand("tsv")]
    | Annotated[Mnist, tyro.conf.subcommand("mnist")]
)


def prepare(source: Annotated[Format, tyro.conf.arg(name="")]) -> int:
    """Write a table of pairs from published annotations."""
    console = SafeConsole()
    for line in source.write():
        say(console, line)
    return DONE


def report(prepared: Prepared, source: Preparation) -> list[str]:
    """Lines about what was written, kept out and changed."""
    each = f"{prepared.fewest} to {prepared.most}" if prepared.fewest < prepared.most else str(prepared.most)
    lines = [f"{source.out}: {prepared.images:,} images, {prepared.captions:,} captions ({each} an image)"]
    lines += [_kept_out(exclusion, source.source) for exclusion in prepared.exclusions]
    if prepared.spaced:
        lines.append(f"{prepared.spaced:,} captions held a tab, a line break or the like; a space stands there now")
    if prepared.blank:
        lines.append(f"{prepared.blank:,} captions were empty and are left out")
    if prepared.bare:
        lines.append(f"{len(prepared.bare):,} images have no caption and are left out, the first {prepared.bare[0]}")
    return lines


def _kept_out(exclusion: Exclusion, annotations: Path) -> str:
    line = f"{exclusion.source}: {exclusion.kept_out:,} images kept out"
    if not exclusion.not_met:
        return line
    missed = f"{len(exclusion.not_met):,} of its {exclusion.names:,} names are not in {annotations}"
    return f"{line}; {missed}, the first {exclusion.not_met[0]}"
