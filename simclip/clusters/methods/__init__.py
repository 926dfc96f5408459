"""The methods that make batches of similar rows, one module with one class each, which is named like the method.

A module that is added here is a new method. Study files are read without torch, so these modules import it inside of
the functions that compute.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

from pydantic import AfterValidator

from simclip.clusters.method import Method

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def method_of(name: str) -> Method:
    """The method of this name."""
    module = importlib.import_module(f"{__name__}.{name}")
    found = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    method: Method = next(each for each in found if issubclass(each, Method))()
    return method


def _known(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"should be {', '.join(NAMES[:-1])} or {NAMES[-1]}; got {name!r}")
    return name


#: The type of a field that names a method.
MethodName = Annotated[str, AfterValidator(_known)]
