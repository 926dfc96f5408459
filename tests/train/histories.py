"""Histories and records without what a clock says: the rest is the same in every run of a trial."""

from __future__ import annotations

from typing import Any

CLOCKS = ("seconds", "pairs_per_second", "started", "mfu")


def without_clocks(value: Any) -> Any:
    """A history, or whatever holds some, at any depth."""
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if k not in CLOCKS and not k.startswith("share/")}
    return [without_clocks(each) for each in value] if isinstance(value, list) else value
