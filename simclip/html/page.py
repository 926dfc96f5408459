"""Write a page from its template, and its pictures and tables as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from simclip.cli.wording.table import Table
from simclip.html.figure import Picture, missing_glyphs
from simclip.html.table import csv_text, typeset
from simclip.runtime.files import write_atomically


def save_all(pictures: Sequence[Picture], tables: Sequence[Table], folder: Path) -> str:
    """Write pictures as SVG and PNG, tables as CSV.

    Returns:
        The characters that the PNG files show as boxes, because no installed font has them; usually empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with missing_glyphs() as missing:
        for picture in pictures:
            picture.save(folder)
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", csv_text(table))
    return "".join(sorted(missing))


def render(template: Path, **fields: Any) -> str:
    """Fill in a template; all fields are escaped unless they are `Markup`."""
    loader = FileSystemLoader([template.parent, Path(__file__).parent / "templates"])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["typeset"] = typeset
    return environment.get_template(template.name).render(fields)


def inlined(pictures: Sequence[Picture], prefix: str = "") -> list[dict[str, Any]]:
    """Pictures as the templates take them; the prefix keeps the ids of several studies apart."""
    return [
        {"title": each.title, "caption": each.caption, "alt": each.alt, "svg": Markup(each.inline(prefix))}
        for each in pictures
    ]
