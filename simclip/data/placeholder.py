"""Refuse the placeholder tables in datasets/, which a user replaces with their own."""

from __future__ import annotations

from pathlib import Path

from simclip.errors import InputError

PLACEHOLDER_IMAGE = "REPLACE-ME.jpg"


def refuse_placeholder(tsv: Path) -> None:
    """Refuse a table that is a placeholder, recognised by the image of its first row.

    Args:
        tsv: An existing table.

    Raises:
        InputError: The table is a placeholder.
    """
    with tsv.open("rb") as lines:
        next(lines, b"")
        if next(lines, b"").startswith(PLACEHOLDER_IMAGE.encode() + b"\t"):
            raise InputError(
                f"{tsv}: this is the placeholder, not data: replace the file, or name another, with your own pairs as "
                "tab-separated lines under the header image, caption1, caption2, ..."
            )
