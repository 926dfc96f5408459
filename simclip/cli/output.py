"""A plain line for whoever typed the command."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def say(console: Console, line: str) -> None:
    """Print a line as it is, whole, however wide the console."""
    console.print(Text(line), soft_wrap=True)
