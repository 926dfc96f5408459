"""Plain lines on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def say(console: Console, line: str) -> None:
    """Print a line without wrapping or markup, whatever the width of the console."""
    console.print(Text(line), soft_wrap=True)
