"""COCO numbers: the releases of 2014 and 2017 name the same photograph differently, but with the same number."""

from __future__ import annotations

import re

#: 000000391895.jpg, or COCO_val2014_000000391895.jpg.
NAME = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})\.jpe?g", re.IGNORECASE)


def coco_id(name: str) -> int | None:
    """The COCO number in a file name, in any folder; None if the name is not one of COCO's."""
    found = NAME.fullmatch(name.rpartition("/")[2])
    return int(found[1]) if found else None
