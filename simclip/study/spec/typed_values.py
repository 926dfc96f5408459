"""The training fields that parameters set, and parameter values parsed by the types of these fields."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from simclip.config.explain import hint
from simclip.study.spec.parameter import Parameter
from simclip.train.config import TrainConfig

#: Training fields that belong to the whole study, and the study's field for each.
STUDY_FIELDS = {"seed": "seeds", "metric": "metric", "mode": "mode"}


def settings_of(name: str, value: Any) -> dict[str, Any]:
    """The training fields that one value of a parameter sets: its own field, or those of a linked parameter."""
    return {name: value} if name in TrainConfig.model_fields else dict(value)


def fields_of(name: str, parameter: Parameter) -> list[str]:
    """The training fields that a parameter sets."""
    return [name] if name in TrainConfig.model_fields else list(parameter.choices[0])


def typed(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """The parameters with every value parsed by the type of its training field: '1/2' is 0.5, '1e-5' is 0.00001.

    Raises:
        pydantic.ValidationError: A field is unknown or set by two parameters, or a field refuses its value.
    """
    owner: dict[str, str] = {}
    checked = {}
    for name, parameter in parameters.items():
        checked[name] = _typed_field(name, parameter) if _is_field(name, parameter) else _typed_linked(name, parameter)
        for field in fields_of(name, checked[name]):
            if field in STUDY_FIELDS:
                raise _refusal((name,), f"{field} cannot be searched; set the study's {STUDY_FIELDS[field]} instead")
            if owner.setdefault(field, name) != name:
                raise _refusal((name,), f"sets {field}, which {owner[field]} also sets")
    return checked


def _is_field(name: str, parameter: Parameter) -> bool:
    if name in TrainConfig.model_fields:
        return True
    if parameter.kind == "categorical" and all(isinstance(each, dict) and each for each in parameter.choices):
        return False
    raise _refusal((name,), f"unknown training field; {hint(name, TrainConfig.model_fields)}")


def _typed_field(name: str, parameter: Parameter) -> Parameter:
    if parameter.kind == "categorical":
        read = [_read((name, "values", i), name, each) for i, each in enumerate(parameter.choices)]
        return parameter.model_copy(update={"values": read})
    if parameter.kind == "constant":
        return parameter.model_copy(update={"value": _read((name, "value"), name, parameter.value)})
    annotation = TrainConfig.model_fields[name].annotation
    fractions = float in (annotation, *get_args(annotation))
    parameter = _with_bounds_of(parameter, float if fractions else int)
    if not parameter.whole and not fractions:
        raise _refusal(
            (name,),
            "a range of fractions does not fit this field: use whole numbers (int_uniform, or a whole q), or values",
        )
    _read((name, "min"), name, parameter.ends[0])
    _read((name, "max"), name, parameter.ends[-1])
    return parameter


def _with_bounds_of(parameter: Parameter, number: type[float] | type[int]) -> Parameter:
    """The range with bounds of its field's type, which decides whether it is continuous, unless a distribution does."""
    bounds = {name: getattr(parameter, name) for name in ("min", "max", "q") if getattr(parameter, name) is not None}
    if parameter.distribution is not None or any(each != number(each) for each in bounds.values()):
        return parameter
    return parameter.model_copy(update={name: number(each) for name, each in bounds.items()})


def _typed_linked(name: str, parameter: Parameter) -> Parameter:
    read = []
    for i, settings in enumerate(parameter.choices):
        if list(settings) != list(parameter.choices[0]) and set(settings) != set(parameter.choices[0]):
            raise _refusal((name, "values", i), "sets other fields than the first value: linked fields vary together")
        for field in settings:
            if field not in TrainConfig.model_fields:
                known = hint(field, TrainConfig.model_fields)
                raise _refusal((name, "values", i, field), f"unknown training field; {known}")
        read.append({field: _read((name, "values", i, field), field, value) for field, value in settings.items()})
    return parameter.model_copy(update={"values": read})


def _read(loc: tuple[int | str, ...], field: str, value: Any) -> Any:
    """The value as plain Python, parsed by the type of its field."""
    info = TrainConfig.model_fields[field]
    kind: Any = Annotated[info.annotation, info]
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.dump_python(adapter.validate_python(value))
    except ValidationError as error:
        raise ValidationError.from_exception_data(
            "Parameter",
            [
                InitErrorDetails(
                    type=each["type"], loc=(*loc, *each["loc"]), input=each["input"], ctx=each.get("ctx", {})
                )
                for each in error.errors()
            ],
        ) from None


def _refusal(loc: tuple[int | str, ...], message: str) -> ValidationError:
    # The message is an argument, since pydantic would take braces in a template for placeholders.
    error = PydanticCustomError("value_error", "{message}", {"message": message})
    return ValidationError.from_exception_data("Parameter", [InitErrorDetails(type=error, loc=loc, input=None)])
