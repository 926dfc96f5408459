"""Class names and prompt templates that OpenAI published with CLIP, as clip_benchmark ships them."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from simclip.config.explain import hint
from simclip.errors import InputError

#: The name of ImageNet there, the only set whose classes are known by codes (WordNet's, such as n02084071).
IMAGENET = "imagenet1k"


def published_templates(name: str) -> list[str]:
    """The templates of a set, with {} for the class.

    Raises:
        InputError: The package is not installed, or has no templates for such a set.
    """
    known = _shipped("en_zeroshot_classification_templates.json")
    if name not in known:
        raise InputError(f"prompts {name!r}: clip_benchmark has none of that name; {hint(name, known)}")
    return [template.replace("{c}", "{}") for template in known[name]]


def imagenet_names() -> list[str]:
    """The names of ImageNet's classes, in the order of their codes."""
    return list(_shipped("en_classnames.json")[IMAGENET])


@cache
def _shipped(name: str) -> dict[str, Any]:
    """A file of the package, which is not imported: that would need torchvision."""
    package = find_spec("clip_benchmark")
    folders = (package.submodule_search_locations if package else None) or []
    file = next((path for folder in folders if (path := Path(folder, "datasets", name)).is_file()), None)
    if file is None:
        raise InputError(
            "prompts: OpenAI's templates and class names come with clip_benchmark, which is not installed: "
            "pip install --no-deps clip_benchmark (or give templates and class_names)"
        )
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
