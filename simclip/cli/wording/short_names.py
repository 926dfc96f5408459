"""Long names without their middle, each of which still fits only one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

GAP = "…"


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Names of at most `most` characters; longer only where no beginning and end of that length fit one name alone.

    Args:
        names: What is shortened, such as the arms of a table. The same name may occur several times.
        most: Number of characters, at least 1.
    """
    short = {name: name for name in names if len(name) <= most}
    length = most
    while len(short) < len({*names}):
        for tail in _tails(length):
            head = length - len(GAP) - tail
            ends = Counter(_ends(name, head, tail) for name in {*names} if len(name) >= head + tail)
            for name in {*names} - {*short}:
                if len(name) <= length:
                    short[name] = name
                elif ends[_ends(name, head, tail)] == 1:
                    short[name] = GAP.join(_ends(name, head, tail))
        length += 1
    return [short[name] for name in names]


def _tails(length: int) -> tuple[int, ...]:
    """How many characters of a name's end are kept: preferably half, since names differ at both ends."""
    room = length - len(GAP)
    return room // 2, room * 3 // 4, room, room // 4, 0


def _ends(name: str, head: int, tail: int) -> tuple[str, str]:
    return name[:head], name[len(name) - tail :]
