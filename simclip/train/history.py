"""The history of a run: a row per epoch, row 0 for the base model. This module does not import torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from simclip.runtime.files import checksum

Row = dict[str, Any]


def best_row(history: list[Row], mode: str) -> Row | None:
    """The first trained epoch with the best objective; None if no trained epoch has a finite one."""
    rows = [row for row in history if row["epoch"] > 0 and math.isfinite(row["metric"])]
    sign = 1 if mode == "max" else -1
    return max(rows, key=lambda row: sign * row["metric"], default=None)


def read_history(checkpoint: Path) -> list[Row]:
    """Read the history of a checkpoint."""
    history: list[Row] = json.loads((checkpoint / "history.json").read_text())
    return history


def finished_epochs(checkpoint: Path) -> int | None:
    """Number of epochs that a checkpoint has finished; None if it is missing, incomplete or damaged."""
    try:
        sizes = json.loads((checkpoint / "manifest.json").read_text())
        whole = all((checkpoint / name).stat().st_size == size for name, size in sizes.items()) and _intact(checkpoint)
        return int(read_history(checkpoint)[-1]["epoch"]) if whole else None
    except (OSError, ValueError, LookupError, AttributeError, TypeError):  # damaged JSON may hold anything
        return None


def _intact(checkpoint: Path) -> bool:
    """Whether the content of every file is what was written; assumed of a version that wrote no checksums."""
    path = checkpoint / "checksums.json"
    sums = json.loads(path.read_text()) if path.exists() else {}
    return all(checksum(checkpoint / name) == there for name, there in sums.items())
