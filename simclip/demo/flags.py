"""The rare special set: two-colour flags of ten invented nations, which the base model has never seen."""

from __future__ import annotations

from dataclasses import dataclass

#: Layout and two colours by nation. Two nations share each layout.
NATIONS: dict[str, tuple[str, str, str]] = {
    "zorvia": ("halves", "red", "white"),
    "maldano": ("halves", "white", "blue"),
    "kestria": ("bands", "green", "yellow"),
    "ulmark": ("bands", "yellow", "red"),
    "pelluna": ("diagonal", "blue", "orange"),
    "ostravy": ("diagonal", "purple", "green"),
    "quillor": ("disc", "white", "red"),
    "brantia": ("disc", "green", "pink"),
    "east talu": ("cross", "blue", "yellow"),
    "west talu": ("cross", "brown", "white"),
}


@dataclass(frozen=True)
class Flag:
    """The flag of one nation, on a pole."""

    nation: str
