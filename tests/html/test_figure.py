"""Labels in pictures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simclip.html.figure import shortened


def test_long_names_lose_their_middle() -> None:
    assert shortened(["k4-p0.5", "clusters-k4-nb1-p1-warm-skip0-hard0.25"]) == ["k4-p0.5", "clusters-k4-…p0-hard0.25"]


def test_names_that_differ_in_their_middle_keep_more_of_it() -> None:
    warm, fixed = shortened(["clusters-k4-nb1-p1-warm-skip0-hard0.25", "clusters-k4-nb1-p0-fixed-skip0-hard0.25"])
    assert warm != fixed


@given(st.lists(st.text("ab-", max_size=40), max_size=8))
def test_different_names_have_different_labels(names: list[str]) -> None:
    labels = shortened(names)
    assert len(labels) == len(names) and len({*labels}) == len({*names})
    assert all(label == name for label, name in zip(labels, names, strict=True) if len(name) <= 24)
