"""One parameter of a search space, in W&B's sweep syntax."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import PlainValidator, model_validator

from simclip.config.schema import Strict, parse_fraction

Distribution: TypeAlias = Literal[
    "categorical", "constant", "int_uniform", "uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values"
]


def _number(value: object) -> int | float:
    number = parse_fraction(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number")
    return number


Number: TypeAlias = Annotated[int | float | None, PlainValidator(_number)]


class Parameter(Strict):
    """The possible values of one parameter: a list, a single value, or a range with a distribution."""

    values: list[Any] | None = None
    value: Any = None
    min: Number = None
    max: Number = None
    q: Number = None
    distribution: Distribution | None = None

    @property
    def kind(self) -> Distribution:
        """The distribution, derived from the other fields if it is not given."""
        if self.distribution is not None:
            return self.distribution
        if "values" in self.model_fields_set:
            return "categorical"
        if "value" in self.model_fields_set:
            return "constant"
        return "int_uniform" if isinstance(self.min, int) and isinstance(self.max, int) else "uniform"

    @property
    def limits(self) -> tuple[int | float, int | float]:
        """Both ends of a range."""
        assert self.min is not None and self.max is not None  # by the validator
        return self.min, self.max

    @property
    def size(self) -> int | None:
        """The number of values; None for a continuous range."""
        if self.kind == "categorical":
            return len(self.values or [])
        if self.kind == "constant":
            return 1
        return len(self.steps) if self.steps is not None else None

    @property
    def steps(self) -> range | None:
        """A discrete range as multiples of q (1 for int_uniform); None for a continuous one."""
        if self.kind not in ("int_uniform", "q_uniform", "q_log_uniform_values"):
            return None
        low, high = (_exact(end) / self._q for end in self.limits)
        return range(math.ceil(low), math.floor(high) + 1)

    @property
    def whole(self) -> bool:
        """Whether a range holds only whole numbers."""
        return self.steps is not None and all(isinstance(each, int) for each in (*self.limits, self.q or 1))

    @property
    def choices(self) -> list[Any]:
        """The values of a discrete parameter, in order."""
        if self.kind == "constant":
            return [self.value]
        if self.steps is not None:
            return [self._multiple(step) for step in self.steps]
        return list(self.values or [])

    @property
    def ends(self) -> list[Any]:
        """The values at the extremes of the space: the two lowest and the highest if values have an order, else all.

        The second lowest is included because a proportion just above 0 demands more of a batch than 0.
        """
        if self.size is None:
            low, high = self.limits
            return [low, low + 1e-6 * (high - low), high]
        if self.steps is not None:
            return [self._multiple(step) for step in sorted({self.steps[0], *self.steps[1:2], self.steps[-1]})]
        if any(isinstance(each, bool) or not isinstance(each, int | float) for each in self.choices):
            return self.choices
        ordered = sorted(set(self.choices))
        return sorted({*ordered[:2], ordered[-1]})

    def at(self, share: float) -> Any:
        """The quantile of the distribution.

        Args:
            share: Probability in [0, 1); a uniform draw gives a draw from the distribution.
        """
        if self.steps is not None and not self.kind.startswith("q_log"):
            return self._multiple(self.steps[int(share * len(self.steps))])
        if self.size is not None and self.steps is None:
            return self.choices[int(share * self.size)]
        low, high = self.limits
        if self.kind == "uniform":
            return low + share * (high - low)
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        return self.snap(min(max(value, low), high))

    def snap(self, value: int | float) -> int | float:
        """The nearest value of the range."""
        if self.steps is None:
            return value
        step = round(_exact(value) / self._q)
        return self._multiple(min(max(step, self.steps[0]), self.steps[-1]))

    def changed(self, change: Callable[[Any], Any]) -> Parameter:
        """A copy with a function applied to the listed values; ranges stay as they are."""
        if self.kind == "categorical":
            return self.model_copy(update={"values": [change(each) for each in self.values or []]})
        if self.kind == "constant":
            return self.model_copy(update={"value": change(self.value)})
        return self

    @property
    def _q(self) -> Fraction:
        return _exact(self.q) if self.q is not None else Fraction(1)

    def _multiple(self, step: int) -> int | float:
        return int(step * self._q) if self.whole else float(step * self._q)

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if not self.model_fields_set - {"distribution"}:
            raise ValueError("expected values: [...], value, or min and max")
        needed = {"categorical": ["values"], "constant": ["value"]}.get(self.kind, ["min", "max"])
        needed = needed + ["q"] * self.kind.startswith("q_")
        given = [name for name in ("values", "value", "min", "max", "q") if name in self.model_fields_set]
        if given != needed:
            raise ValueError(f"{self.kind} takes {_listed(needed)}; this parameter has {_listed(given)}")
        if self.kind == "categorical" and not self.values:
            raise ValueError("values is empty: give at least one")
        if self.kind not in ("categorical", "constant"):
            self._check_range()
        return self

    def _check_range(self) -> None:
        low, high = self.limits
        if low >= high:
            raise ValueError(f"min {low:g} is not below max {high:g}: swap them, or give a value")
        if self.q is not None and self.q <= 0:
            raise ValueError(f"q {self.q:g} is not above 0")
        if "log" in self.kind and low <= 0:
            raise ValueError(f"min {low:g} of a logarithmic range is not above 0")
        if self.kind == "int_uniform" and not self.whole:
            raise ValueError(f"int_uniform takes whole numbers, not {low:g} and {high:g}")
        if self.steps is not None and not self.steps:
            raise ValueError(f"no multiple of q {self.q:g} lies from min {low:g} to max {high:g}")


def _exact(number: int | float) -> Fraction:
    """The number as it is written in decimal: 0.1 is one tenth."""
    return Fraction(repr(number))


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
