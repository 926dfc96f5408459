"""Paths on record that outlive a move of the project: it lies elsewhere in another clone and in every Ray job.

A path into the project's own folder, such as one to the demo's data, is written as {project}/datasets/demo/train.tsv.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import simclip

#: The project's own folder.
PROJECT = Path(simclip.__file__).parents[1]
MARK = "{project}/"


def portable(content: Any) -> Any:
    """A copy of plain data whose texts are paths no more that only this project's place makes right."""
    return _each(content, lambda text: _replaced(text, f"{PROJECT}/", MARK))


def local(content: Any) -> Any:
    """The copy of portable data that is right here."""
    return _each(content, lambda text: _replaced(text, MARK, f"{PROJECT}/"))


def _replaced(text: str, start: str, by: str) -> str:
    return by + text.removeprefix(start) if text.startswith(start) else text


def _each(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {key: _each(value, change) for key, value in content.items()}
    return [_each(value, change) for value in content] if isinstance(content, list) else content
