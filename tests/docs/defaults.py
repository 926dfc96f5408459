"""The tables of every field and its default, as docs/study-files.md has them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from simclip.data.table import Table
from simclip.evaluation.kinds import KINDS
from simclip.study.spec.study import Asha, Budget, Confirm, Resources, StudyConfig
from simclip.train.config import TrainConfig
from tests.docs.pages import BY_NAME

BEGIN, END = "<!-- fields -->\n", "<!-- /fields -->"
#: A heading, the schema, and the fields that are described elsewhere.
TABLES: list[tuple[str, type[BaseModel], Collection[str]]] = [
    ("The study", StudyConfig, ("train",)),
    ("`train`", TrainConfig, ("seed", "metric", "mode")),
    ("`train.train_tables`", Table, ()),
    *((f"Evaluation sets: `kind: {kind}`", schema, ("kind",)) for kind, schema in KINDS.items()),
    ("`confirm`", Confirm, ()),
    ("`budget`", Budget, ()),
    ("`resources`", Resources, ()),
    ("`asha`", Asha, ()),
]


def tables() -> str:
    """All tables in Markdown."""
    return "\n".join(table(heading, schema, omitted) for heading, schema, omitted in TABLES)


def table(heading: str, schema: type[BaseModel], omitted: Collection[str]) -> str:
    rows = [f"| `{name}` | {default(field)} | {described(field)} |"
            for name, field in schema.model_fields.items() if name not in omitted]  # fmt: skip
    return "\n".join([f"### {heading}", "", "| field | default | meaning |", "| --- | --- | --- |", *rows, ""])


def default(field: FieldInfo) -> str:
    return "required" if field.is_required() else f"`{written(field.get_default(call_default_factory=True))}`"


def written(value: Any) -> str:
    """A default as it is written in a study file."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(each) for each in value) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return str(value) if plain else json.dumps(value)


def described(field: FieldInfo) -> str:
    """The allowed words, if the field has a list of them, and its description."""
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    choices = ", ".join(f"`{each}`" for each in words)
    return ": ".join(part for part in (choices, (field.description or "").replace("|", r"\|")) if part)


def rewrite() -> None:
    """Put the tables of today's schemas into the page."""
    page = BY_NAME["study-files"]
    before, rest = page.text.split(BEGIN)
    page.path.write_text(before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1], encoding="utf-8")
