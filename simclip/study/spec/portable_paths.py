"""Recorded paths that stay valid if the project is moved, as in another clone or in a Ray job.

A path into the project's own folder, such as one to the demo's data, is recorded as {project}/datasets/demo/train.tsv.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import simclip

#: The folder of the project.
PROJECT = Path(simclip.__file__).parents[1]
MARK = "{project}/"


def portable(content: Any) -> Any:
    """A copy of plain data for a record: paths into the project begin with {project}."""
    return _each(content, lambda text: _replaced(text, f"{PROJECT}/", MARK))


def local(content: Any) -> Any:
    """A copy of recorded data with absolute paths into the project."""
    return _each(content, lambda text: _replaced(text, MARK, f"{PROJECT}/"))


def _replaced(text: str, start: str, by: str) -> str:
    return by + text.removeprefix(start) if text.startswith(start) else text


def _each(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {key: _each(value, change) for key, value in content.items()}
    return [_each(value, change) for value in content] if isinstance(content, list) else content
