"""The console of every command: control characters in names and captions never reach the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: Control characters except tab and line feed, and the marks that reverse the direction of what follows.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """The text with a visible mark in place of each character that could command the terminal."""
    return UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


class SafeConsole(Console):
    """A console that shows the control characters of what it prints as marks; its own styles work as ever."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as Rich does, then make the text safe."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)
