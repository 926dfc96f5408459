"""Long names without their middle, each of which still fits only one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

GAP = "…"


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Shorten names to their beginning and end, such that what is left of one fits no other.

    Args:
        names: For example the arms of a table; the same name may occur several times.
        most: Number of characters, at least 1. Where names are too much alike for it, they stay longer.

    Returns:
        A short name for each, in the same order.
    """
    distinct = {*names}
    short = {name: name for name in distinct if len(name) <= most}
    length = most
    while len(short) < len(distinct):
        for tail in _tails(length):
            head = length - len(GAP) - tail
            ends = Counter(_ends(name, head, tail) for name in distinct if len(name) >= head + tail)
            for name in distinct - {*short}:
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
