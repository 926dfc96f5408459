"""Write a page from its template, and the pictures and tables that it shows as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from simclip.html.figure import Picture
from simclip.html.table import Table


def save_all(pictures: Sequence[Picture], tables: Sequence[Table], folder: Path) -> None:
    """Write pictures and tables as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        picture.save(folder)
    for table in tables:
        table.save(folder)


def render(template: Path, **fields: Any) -> str:
    """A page from its template; whatever is put into it is text unless it is a picture."""
    loader = FileSystemLoader([template.parent, Path(__file__).parent / "templates"])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template.name).render(fields)


def inlined(pictures: Sequence[Picture], prefix: str = "") -> list[dict[str, Any]]:
    """Pictures as a template takes them; the prefix tells those of several studies apart."""
    return [
        {"title": each.title, "caption": each.caption, "alt": each.alt, "svg": Markup(each.inline(prefix))}
        for each in pictures
    ]
