import math

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simclip.study.spec.parameter import Parameter
from simclip.study.spec.typed_values import typed

shares = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("given", "kind", "size"),
    [
        ({"values": [4, 8]}, "categorical", 2),
        ({"value": 3}, "constant", 1),
        ({"value": None}, "constant", 1),
        ({"min": 1, "max": 4}, "int_uniform", 4),
        ({"min": 0.0, "max": 1}, "uniform", None),
        ({"min": "1e-6", "max": "1e-4", "distribution": "log_uniform_values"}, "log_uniform_values", None),
        ({"min": 32, "max": 256, "q": 8, "distribution": "q_log_uniform_values"}, "q_log_uniform_values", 29),
        ({"min": 0, "max": 1, "q": 0.1, "distribution": "q_uniform"}, "q_uniform", 11),
        ({"min": 0, "max": 1, "q": "1/4", "distribution": "q_uniform"}, "q_uniform", 5),
    ],
)
def test_the_distribution_is_worked_out(given, kind, size):
    parameter = Parameter(**given)
    assert (parameter.kind, parameter.size) == (kind, size)


@given(st.integers(-50, 50), st.integers(1, 100), shares)
def test_int_uniform_has_both_ends_and_nothing_else(low, width, share):
    parameter = Parameter(min=low, max=low + width)
    assert parameter.at(0) == low and parameter.at(math.nextafter(1, 0)) == low + width
    assert parameter.at(share) in range(low, low + width + 1)
    assert parameter.choices == list(range(low, low + width + 1))


@given(st.floats(1e-8, 1e3), st.floats(1.001, 1e4), shares)
def test_continuous_ranges_stay_inside_and_rise(low, factor, share):
    for distribution in ("uniform", "log_uniform_values"):
        parameter = Parameter(min=low, max=low * factor, distribution=distribution)
        assert low <= parameter.at(share) <= low * factor
        assert parameter.at(share / 2) <= parameter.at(share)


@given(st.integers(1, 20), st.integers(0, 40), st.integers(1, 60), shares)
def test_q_gives_exactly_the_multiples_in_the_range(tenths, low, width, share):
    multiples = [n for n in range(low, low + width + 1) if n % tenths == 0]
    for distribution in ("q_uniform", "q_log_uniform_values"):
        limits = {"min": low / 10, "max": (low + width) / 10, "q": tenths / 10, "distribution": distribution}
        if not multiples or (low == 0 and "log" in distribution):
            with pytest.raises(pydantic.ValidationError):
                Parameter(**limits)
        else:
            parameter = Parameter(**limits)
            assert parameter.choices == [n / 10 for n in multiples]
            assert parameter.at(share) in parameter.choices
            assert {parameter.snap(parameter.min), parameter.snap(parameter.max)} <= set(parameter.choices)


def test_whole_limits_and_q_give_whole_numbers():
    sizes = Parameter(min=32, max=256, q=8, distribution="q_log_uniform_values")
    drawn = [sizes.at(share) for share in np.linspace(0, 0.999, 50)]
    assert all(type(size) is int and size % 8 == 0 for size in drawn)


def test_log_uniform_has_equal_shares_per_decade():
    rate = Parameter(min=1e-6, max=1e-2, distribution="log_uniform_values")
    np.testing.assert_allclose([rate.at(s) for s in (0, 0.25, 0.5, 0.75)], [1e-6, 1e-5, 1e-4, 1e-3])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "expected values: [...], value, or min and max"),
        ({"distribution": "uniform"}, "expected values"),
        ({"values": []}, "values is empty"),
        ({"values": [1], "value": 2}, "categorical takes values; this parameter has values and value"),
        ({"min": 1}, "uniform takes min and max; this parameter has min"),
        ({"min": 1, "max": 8, "q": 2}, "int_uniform takes min and max; this parameter has min and max and q"),
        ({"min": 1, "max": 8, "distribution": "q_uniform"}, "q_uniform takes min and max and q"),
        ({"min": 8, "max": 1}, "min 8 is not below max 1"),
        ({"min": 1, "max": 1}, "min 1 is not below max 1"),
        ({"min": 0, "max": 1, "distribution": "log_uniform_values"}, "logarithmic range is not above 0"),
        ({"min": 0, "max": 1, "q": 0, "distribution": "q_uniform"}, "q 0 is not above 0"),
        ({"min": 0, "max": 1, "q": -1, "distribution": "q_uniform"}, "q -1 is not above 0"),
        ({"min": 5, "max": 6, "q": 4, "distribution": "q_uniform"}, "no multiple of q 4"),
        ({"min": 0.5, "max": 6, "distribution": "int_uniform"}, "int_uniform takes whole numbers"),
        ({"min": True, "max": 6}, "True is not a number"),
        ({"min": 0, "max": float("inf")}, "inf is not a number"),
        ({"min": 0, "max": "much"}, "'much' is not a number"),
        ({"min": 0, "max": "1/0"}, "'1/0' is not a number"),
        ({"min": 0, "max": 1, "distribution": "normal"}, "Input should be 'categorical'"),
    ],
)
def test_wrong_parameters_are_refused(given, said):
    with pytest.raises(pydantic.ValidationError) as error:
        Parameter(**given)
    assert said in str(error.value)


def test_values_are_read_as_their_fields_read_them():
    read = typed(
        {
            "proportion": Parameter(values=["1/2", 0, "1e-1"]),
            "learning_rate": Parameter(value="1e-5"),
            "pair": Parameter(values=[{"cluster_size": "4", "max_similarity": None}]),
        }
    )
    assert read["proportion"].values == [0.5, 0.0, 0.1]
    assert read["learning_rate"].value == 1e-5
    assert read["pair"].values == [{"cluster_size": 4, "max_similarity": None}]


@given(st.sampled_from(["categorical", "int_uniform", "q_uniform", "uniform"]), st.integers(0, 5), st.integers(1, 5))
def test_the_ends_are_the_least_the_next_and_the_most(kind, low, width):
    parameter = {
        "categorical": Parameter(values=[*range(low, low + width + 1)][::-1]),
        "int_uniform": Parameter(min=low, max=low + width),
        "q_uniform": Parameter(min=low, max=low + width, q=1, distribution="q_uniform"),
        "uniform": Parameter(min=float(low), max=low + width),
    }[kind]
    assert parameter.ends[0] == low and parameter.ends[-1] == low + width
    assert parameter.ends[1] == low + 1 or kind == "uniform"
