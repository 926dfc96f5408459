"""The vocabulary of every schema: strict models, fields that carry traits, and the value types that they share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from simclip.config.uris import is_uri, refuse_secret

DEFAULT_METRIC = "val/mean_r1"


@dataclass(frozen=True)
class Traits:
    """What the program knows about a field beyond its type: how it is named, and what depends on it.

    Attributes:
        symbol: Prefix of the value in arm names, e.g. "k" for k16; "" for the value alone; by default "<name>=". For a
            flag, the two words for false and true.
        label: The field in plots and tables; by default its name.
        treatment: Belongs to what a study compares with plain fine-tuning: which rows share a batch, and how much they
            weigh as negatives. A control has the default of every such field.
        schedule: One of the fields that together spell out p of every epoch.
        reads_data: Decides which files a run reads and whether they fit; a study checks one arm per combination.
        machine: Changes results in the last bits at most; it may change while a study goes on.
    """

    symbol: str | tuple[str, str]
    label: str
    treatment: bool = False
    schedule: bool = False
    reads_data: bool = False
    machine: bool = False


def field(
    default: Any,
    *,
    description: str | None = None,
    symbol: str | tuple[str, str] | None = None,
    label: str | None = None,
    treatment: bool = False,
    schedule: bool = False,
    reads_data: bool = False,
    machine: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a field of a schema together with its traits (see `Traits`).

    This is the only place where a field is described: arm names, plots, controls and input checks read it from here.

    Args:
        bounds: Constraints as `pydantic.Field` takes them, such as ge=0 or min_length=1.
    """
    traits: dict[str, Any] = {
        "treatment": treatment, "schedule": schedule, "reads_data": reads_data, "machine": machine
    }  # fmt: skip
    named = {"symbol": symbol, "label": label}
    traits |= {key: value for key, value in named.items() if value is not None}
    return Field(default, description=description, json_schema_extra={"traits": traits}, **bounds)


class Strict(BaseModel):
    """A schema that refuses unknown fields and whose instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @classmethod
    @functools.cache
    def traits(cls, name: str) -> Traits:
        """The traits of a field. Any other name, such as a linked parameter's, has those of a plain field."""
        extra: Any = cls.model_fields[name].json_schema_extra if name in cls.model_fields else None
        return Traits(**{"symbol": f"{name}=", "label": name, **(extra or {}).get("traits", {})})

    @classmethod
    @functools.cache
    def fields_with(cls, trait: str) -> tuple[str, ...]:
        """The names of the fields that have a trait, e.g. "treatment", in the order of their declaration."""
        return tuple(name for name in cls.model_fields if getattr(cls.traits(name), trait))


def parse_fraction(value: object) -> object:
    """Turn '1/512' into 0.001953125; leave every value that is not a string to pydantic."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{value!r} is not a number or a fraction, e.g. 0.5 or 1/512") from error


def parse_place(value: str | Path) -> str | Path:
    """Turn a text into a path unless it is a URI, which may not hold a secret."""
    if not is_uri(value):
        return Path(value)
    refuse_secret(str(value))
    return value


def metric_weights(metric: str | Mapping[str, float]) -> Mapping[str, float]:
    """The weight of every metric of an objective."""
    return {metric: 1.0} if isinstance(metric, str) else metric


def _check_weights(value: object, schema: ValidatorFunctionWrapHandler) -> object:
    """Refuse anything but a metric's name or weights with one message, and weights without a positive sum."""
    try:
        metric = schema(value)
    except ValidationError:
        raise ValueError(
            f"expected a metric such as {DEFAULT_METRIC}, or weights such as {{val/mean_r1: 0.7, rare/top1: 0.3}}; "
            f"got {value!r}"
        ) from None
    if isinstance(metric, dict) and not sum(metric.values()) > 0:
        raise ValueError(f"the weights add up to {sum(metric.values()):g}: expected more than 0")
    return metric


#: A file to read: a path, or the URI of what lies in a bucket (whose slashes a Path would lose).
Place = Annotated[str | Path, Field(union_mode="left_to_right"), AfterValidator(parse_place)]
#: A share in [0, 1], written as a number or a fraction.
Proportion = Annotated[float, BeforeValidator(parse_fraction), Field(ge=0, le=1)]
#: What epochs and arms are compared by: a metric, or the weights of several.
Objective = Annotated[str | dict[str, float], WrapValidator(_check_weights)]
