"""The kinds of evaluation sets, one module with one class each. A module that is added here is a new kind.

Study files are read without torch, so these modules import it inside of the functions that compute.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated, Union

from pydantic import Field, GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema

from simclip.evaluation.evaluation_set import EvaluationSet

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

#: The class of every kind, by the kind's name.
KINDS = {each.model_fields["kind"].default: each for each in EvaluationSet.__subclasses__()}


def _schema(source: type[EvaluationSet], handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")])  # noqa: UP007


#: The type of a field that takes a set of any kind.
AnySet = Annotated[EvaluationSet, GetPydanticSchema(_schema)]


def is_share(metric: str) -> bool:
    """Whether a metric <set>/<name> is a share between 0 and 1, not a loss."""
    return all(metric.rpartition("/")[2] not in kind.losses for kind in KINDS.values())
