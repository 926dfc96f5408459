"""Turn a pydantic error into one line that says how to fix the input."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import pydantic

from simclip.errors import InputError

#: Maximum number of names to list if none of them is similar.
LISTED = 15


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The most similar known name, or None if no name is similar."""
    return next(iter(difflib.get_close_matches(str(name).lower(), list(known), n=1)), None)


def hint(name: object, known: Iterable[str]) -> str:
    """A hint for an unknown name: 'did you mean epochs?', or the known names if they are few."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean {near}?"
    return f"expected {', '.join(names)}" if 0 < len(names) <= LISTED else "no known name is similar"


def explain(error: pydantic.ValidationError, where: str, known: Iterable[str] | type[pydantic.BaseModel]) -> InputError:
    """The first problem that pydantic found, in one line.

    Args:
        error: The error of pydantic.
        where: Source of the input: a file, override or arm.
        known: Known names, to suggest one for an unknown key; or the schema, which has the names at the key's level.
    """
    # A misspelt key is reported as unknown, and perhaps its right spelling as missing: show the unknown key.
    problems = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    loc, message = problems[0]["loc"], _message(problems[0], known)
    others = len({(each["loc"][-1:], each["msg"]) for each in problems}) - 1
    more = f" (and {others} more)" if others else ""
    return InputError(": ".join(part for part in (where, dotted(loc), message) if part) + more)


def dotted(loc: Sequence[int | str]) -> str:
    """Format a location in the input, e.g. parameters.cluster_size.values[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _message(problem: Any, known: Iterable[str] | type[pydantic.BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        names = _names_at(known, parents) if isinstance(known, type) else known
        elsewhere = _places_of(known, str(key)) if isinstance(known, type) else []
        return f"unknown key; {f'did you mean {elsewhere[0]}?' if elsewhere else hint(key, names)}"
    message = re.sub(r"^(Value error, |(Input|String|List) (?=should ))", "", " ".join(problem["msg"].split()))
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] == "value_error":
        return message
    none = "; write null for none" if str(problem["input"]).lower() == "none" else ""
    return f"{message}; got {reprlib.repr(problem['input'])}{none}"


def _names_at(schema: type[pydantic.BaseModel], parents: Sequence[int | str]) -> list[str]:
    """The fields of the schema at a location; keys of mappings and positions in lists stay at the same schema."""
    schemas = [schema]
    for part in parents:
        fields = [each.model_fields[part].annotation for each in schemas if part in each.model_fields]
        schemas = [inner for field in fields for inner in _schemas_in(field)] or schemas
    return [name for each in schemas for name in each.model_fields]


def _places_of(schema: type[pydantic.BaseModel], name: str) -> list[str]:
    """The dotted names of the schema's own fields, and of those of a section such as `train`, that have this name."""
    places = [name] if name in schema.model_fields else []
    sections = {field: info.annotation for field, info in schema.model_fields.items()}
    return places + [
        f"{field}.{name}"
        for field, inner in sections.items()
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel) and name in inner.model_fields
    ]


def _schemas_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation, *annotation.__subclasses__()]
    return [schema for inner in get_args(annotation) for schema in _schemas_in(inner)]
