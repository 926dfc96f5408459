"""The two tables in datasets/ that stand where a user's own belong."""

from __future__ import annotations

from pathlib import Path

from simclip.errors import InputError

PLACEHOLDER_IMAGE = "REPLACE-ME.jpg"


def refuse_placeholder(tsv: Path) -> None:
    """Raise InputError if a table is one of the placeholders, known by the image of its first row.

    Args:
        tsv: An existing table whose first column is `image`, as the placeholders have it.
    """
    with tsv.open("rb") as lines:
        next(lines, b"")
        if next(lines, b"").startswith(PLACEHOLDER_IMAGE.encode() + b"\t"):
            raise InputError(
                f"{tsv}: this is the placeholder, not data: replace the file, or name another, with your own pairs as "
                "tab-separated lines under the header image, caption1, caption2, ..."
            )
