"""`tune.py clean`: what the cache and unneeded checkpoints take, and freeing it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.cli.terminal.study_list import studies_in
from simclip.errors import InputError
from simclip.runtime.files import PART, cache_folder, disk_bytes
from simclip.study.execution.ownership import owner
from simclip.study.store import layout
from simclip.study.store.folder import ATTEMPT, StudyFolder
from simclip.study.store.records import read_records


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs.

    Attributes:
        path: Where it is.
        what: What it is, in a few words.
    """

    path: Path
    what: str


def clean(
    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")] = Path("results"),
    free: bool = False,
) -> int:
    """Show what the cache and checkpoints that nothing needs take, and free it with --free.

    Args:
        results: results folder of a study, or folder that holds such folders.
        free: delete what is shown; the cache is made again when a study needs it.
    """
    console = SafeConsole()
    studies = [StudyFolder.at(results)] if (results / layout.STUDY).is_file() else studies_in(results)
    running = [each for each in studies if owner(each.path)]
    found = [item for each in studies if each not in running for item in leftovers(each)]
    cache = cache_folder()
    if cache.is_dir():
        found += [Leftover(path, _kind(path)) for path in sorted(cache.iterdir()) if path.suffix != ".lock"]
    if free and running:
        raise InputError(f"{running[0].place()}: a study runs there and may need the cache: wait for its end")
    groups: dict[tuple[str, Path], list[int]] = {}
    for item in found:
        groups.setdefault((item.what, item.path.parent), []).append(disk_bytes(item.path))
    for (what, folder), sizes in groups.items():
        say(console, f"{sum(sizes) / 1e6:10,.1f} MB  {what}: {len(sizes)} in {folder}")
    total = f"{sum(map(sum, groups.values())) / 1e6:,.1f} MB"
    if not free:
        say(console, f"{total} can be freed: add --free" if found else "Nothing to free.")
        return DONE
    for item in found:
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
    say(console, f"{total} freed")
    return DONE


def leftovers(folder: StudyFolder) -> list[Leftover]:
    """What a study that is not running has left and will never read: unfinished trials keep their checkpoints."""
    ended = read_records(folder.trials)
    scratch = [folder.path / name for name in (layout.TUNE, layout.TRAIN)]
    attempts = [path for each in scratch if each.is_dir() for path in each.iterdir()]
    unneeded = [path for path in attempts if path.name.rpartition(ATTEMPT)[0] in ended]
    unfinished = folder.path / layout.UNFINISHED
    kept = [*unfinished.iterdir()] if unfinished.is_dir() else []
    unneeded += [path for path in kept if path.name in ended]
    found = [Leftover(path, "checkpoints of trials that have ended") for path in sorted(unneeded)]
    parts = sorted(path for path in folder.path.rglob(f".*{PART}") if path.is_file())
    return found + [Leftover(path, "partly written files") for path in parts]


def _kind(path: Path) -> str:
    """What a file of the cache holds, which its name begins with."""
    return f"cache of {path.name.partition('-')[0]}"
