"""Names without their middle can still be told apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simclip.cli.wording.short_names import short_names


def test_long_names_lose_their_middle() -> None:
    assert short_names(["k4-p0.5", "clusters-k4-nb1-p1-warm"], 12) == ["k4-p0.5", "cluste…-warm"]


def test_names_that_differ_in_their_middle_keep_it() -> None:
    names = ["clusters-k4-nb1-p1-warm-skip0-hard0.25", "clusters-k4-nb1-p0-fixed-skip0-hard0.25"]
    assert short_names(names, 24) == ["cluste…rm-skip0-hard0.25", "cluste…ed-skip0-hard0.25"]


@given(st.lists(st.text("ab-", max_size=30), max_size=8), st.integers(1, 24))
def test_each_fits_one_name_alone(names: list[str], most: int) -> None:
    short = short_names(names, most)
    for name, label in zip(names, short, strict=True):
        if len(name) <= most or label == name:
            assert label == name
        else:
            head, tail = label.split("…")
            assert {each for each in names if each.startswith(head) and each.endswith(tail)
                    and len(each) >= len(head) + len(tail)} == {name}  # fmt: skip
    # As short as asked for if two names are not too much alike for that.
    if len({*names}) == 1:
        assert len(short[0]) <= most
