"""COCO's names: one photograph, known by its number, is called differently in the releases of 2014 and 2017."""

from __future__ import annotations

import re

#: 000000391895.jpg, or COCO_val2014_000000391895.jpg.
NAME = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})\.jpe?g", re.IGNORECASE)


def coco_id(name: str) -> int | None:
    """The number of a COCO photograph, whatever folder it lies in; None for any other name."""
    found = NAME.fullmatch(name.rpartition("/")[2])
    return int(found[1]) if found else None
