"""The history of a run: a row per epoch, row 0 for the untouched model. To read one takes no torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def best_row(history: list[Row], mode: str) -> Row | None:
    """The trained epoch with the best objective, the earliest of equals; None before any, or where none is a number."""
    rows = [row for row in history if row["epoch"] > 0 and math.isfinite(row["metric"])]
    sign = 1 if mode == "max" else -1
    return max(rows, key=lambda row: sign * row["metric"], default=None)


def read_history(checkpoint: Path) -> list[Row]:
    """The rows of the epochs that a checkpoint has behind it."""
    history: list[Row] = json.loads((checkpoint / "history.json").read_text())
    return history


def finished_epochs(checkpoint: Path) -> int | None:
    """How many epochs a checkpoint has behind it; None where there is none, or not all of it."""
    try:
        sizes = json.loads((checkpoint / "manifest.json").read_text())
        whole = all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
        return int(read_history(checkpoint)[-1]["epoch"]) if whole else None
    except (OSError, ValueError):
        return None
