"""What several commands take: a study file, changes to it, and the demo in the place of both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from simclip.demo.dataset import ensure_dataset
from simclip.study.config import StudyConfig, load_study, locate
from simclip.study.overrides import read_mapping

DEMO = Path("studies/demo.yaml")
DEMO_DATA = "datasets/demo/"

Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]


def load_with_data(path: Path, overrides: tuple[str, ...] = (), demo: bool = False) -> StudyConfig:
    """The study; the demo's data are made first where it uses them, since paths are looked up as it is read."""
    located = locate(path)
    text = located.read_text(encoding="utf-8", errors="replace") if located.is_file() else ""
    if demo or DEMO_DATA in " ".join([text, *overrides]):
        ensure_dataset()
    return load_study(path, overrides, read_mapping(locate(DEMO)) if demo else None)
