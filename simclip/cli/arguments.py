"""Arguments that several commands take, and the order in which words may be typed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, get_type_hints

import tyro

from simclip.study.store.study_file import DEMO

Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]


def in_order(command: Callable[..., int], words: Sequence[str]) -> list[str]:
    """The words of a command with its flags last, so that overrides may be typed on both sides of a flag.

    A command whose study is the demo by default takes it too if its first word is an override.
    """
    kinds = {f"--{name.replace('_', '-')}": kind for name, kind in get_type_hints(command).items()}
    plain: list[str] = []
    flags: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("-"):
            plain.append(word)
            continue
        flags.append(word)
        if kinds.get(word) is not bool and "=" not in word:
            flags += [value for value in [next(remaining, None)] if value is not None]
    by_default = next((each.default for each in inspect.signature(command).parameters.values()), None)
    if by_default is DEMO and plain and "=" in plain[0] and not Path(plain[0]).exists():
        plain.insert(0, str(DEMO))
    return [*plain, *flags]
