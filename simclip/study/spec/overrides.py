"""YAML files as mappings, and the key=value words that override their fields."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from simclip.config.explain import hint
from simclip.errors import InputError
from simclip.study.spec.portable_paths import local

BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys in a mapping, and in which on, off, yes and no are words (YAML 1.2)."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is used twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class Override(NamedTuple):
    """One `key=value` word."""

    word: str
    keys: tuple[str, ...]
    value: Any


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; paths within the project are made absolute.

    Raises:
        InputError: The file does not exist, cannot be read, or is not valid YAML or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = [each.name for each in sorted(path.parent.glob("*.yaml"))]
        raise InputError(f"{path}: no such file" + (f"; {hint(path.name, names)}" if names else "")) from None
    except IsADirectoryError:
        inside = path / "study.yaml"
        meant = f"; give {inside}, the study file of these results" if inside.is_file() else ""
        raise InputError(f"{path}: a folder, expected a study file{meant}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from None
    content = _parse(text, str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping such as 'name: demo' and 'train: ...', not {_kind(content)}")
    return dict(local(content))


def read_overrides(words: Sequence[str]) -> list[Override]:
    """Parse words such as train.epochs=2, with YAML to the right of the equals sign.

    Raises:
        InputError: A word has no key or no equals sign, or its value is not valid YAML.
    """
    overrides = []
    for word in words:
        key, equals, value = word.partition("=")
        keys = tuple(key.strip().split("."))
        if not equals or not all(keys):
            raise InputError(f"override {word!r}: expected key=value, such as train.epochs=2")
        overrides.append(Override(word, keys, _parse(value, f"override {word!r}")))
    return overrides


def overridden(content: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """A copy of the mapping with every override applied; missing mappings on the way are created.

    Raises:
        InputError: An override leads through something other than a mapping.
    """
    content = copy.deepcopy(content)
    for word, (*parents, last), value in overrides:
        place = content
        for depth, key in enumerate(parents, start=1):
            if place.get(key) is None:
                place[key] = {}
            place = place[key]
            if not isinstance(place, dict):
                raise InputError(f"override {word!r}: {'.'.join(parents[:depth])} is {_kind(place)} and has no keys")
        place[last] = value
    return content


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark and "\n" in text else ""
        raise InputError(f"{where}{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def _kind(value: Any) -> str:
    return {type(None): "nothing", list: "a list", str: "a text", int: "a number", float: "a number"}.get(
        type(value), f"a {type(value).__name__}"
    )
