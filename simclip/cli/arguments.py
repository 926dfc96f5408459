"""Arguments that several commands take, and the order in which words may be typed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from simclip.errors import InputError
from simclip.study.store.study_file import DEMO

T = TypeVar("T")

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


def in_one_line(parse: Callable[[], T]) -> T:
    """Let tyro read the words of a command; what it says of wrong ones in a box becomes one line.

    Raises:
        InputError: An unknown flag or subcommand, a value of the wrong kind, or a missing argument.
        SystemExit: After --help.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as end:
        if not end.code:
            raise
    inside = [line.strip("│| ") for line in said.getvalue().splitlines()[1:-1]]  # without the frame's top and bottom
    parts = re.split(r"\s*[─-]{3,}\s*", " ".join(filter(None, inside)))
    raise InputError("; ".join(part[:1].lower() + part[1:].rstrip(".") for part in parts if part))


def call_of(command: Callable[..., int], prog: str, words: Sequence[str]) -> Callable[[], int]:
    """The call of a command that its words describe.

    Raises:
        InputError: The words are wrong.
        SystemExit: After --help.
    """

    @functools.wraps(command)
    def later(*given: Any, **named: Any) -> Callable[[], int]:
        return functools.partial(command, *given, **named)

    config = (tyro.conf.FlagCreatePairsOff,)
    call: Callable[[], int] = in_one_line(
        lambda: tyro.cli(later, prog=prog, args=in_order(command, words), config=config)
    )
    return call
