"""Turn a pydantic error into one line that says how to mend the input."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import pydantic

from simclip.errors import InputError

#: So many names are still listed when none of them is near.
LISTED = 12


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, or None where none is."""
    return next(iter(difflib.get_close_matches(str(name).lower(), list(known), n=1)), None)


def hint(name: object, known: Iterable[str]) -> str:
    """'did you mean epochs?', or a short list of what is known, or nothing."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean {near}?"
    return f"expected {', '.join(names)}" if 0 < len(names) <= LISTED else "there is none like it"


def explain(error: pydantic.ValidationError, where: str, known: Iterable[str] | type[pydantic.BaseModel]) -> InputError:
    """The first complaint of a schema, in one line.

    Args:
        error: What pydantic raised.
        where: The file, override or arm that was read.
        known: The right names for an unknown key; or the schema, whose names at the key's own level are taken.
    """
    # A misspelt key may be missing too: what it was meant for comes second.
    complaints = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    loc, message = complaints[0]["loc"], _message(complaints[0], known)
    others = len({(each["loc"][-1:], each["msg"]) for each in complaints}) - 1
    more = f" (and {others} more)" if others else ""
    return InputError(": ".join(part for part in (where, dotted(loc), message) if part) + more)


def dotted(loc: Sequence[int | str]) -> str:
    """A location as one writes it: parameters.cluster_size.values[1]."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _message(complaint: Any, known: Iterable[str] | type[pydantic.BaseModel]) -> str:
    if complaint["type"] == "extra_forbidden":
        *parents, key = complaint["loc"]
        names = _names_at(known, parents) if isinstance(known, type) else known
        return f"unknown key; {hint(key, names)}"
    message = re.sub(r"^(Value error, |(Input|String|List) (?=should ))", "", " ".join(complaint["msg"].split()))
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)
    if complaint["type"] == "missing":
        return "missing"
    if complaint["type"] == "value_error" or "said" in complaint.get("ctx", {}):
        return message
    return f"{message}; got {reprlib.repr(complaint['input'])}"


def _names_at(schema: type[pydantic.BaseModel], parents: Sequence[int | str]) -> list[str]:
    """The fields of the schema that a location leads to; keys of mappings and positions in lists lead nowhere new."""
    schemas = [schema]
    for part in parents:
        fields = [each.model_fields[part].annotation for each in schemas if part in each.model_fields]
        schemas = [inner for field in fields for inner in _schemas_in(field)] or schemas
    return [name for each in schemas for name in each.model_fields]


def _schemas_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation, *annotation.__subclasses__()]
    return [schema for inner in get_args(annotation) for schema in _schemas_in(inner)]
