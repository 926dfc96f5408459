"""A finished study, as far as it must be the same however often it was cut off."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.train.histories import without_clocks

#: In results.json: what it took and what it ran on.
CIRCUMSTANCES = ("crc32", "spent", "git_commit", "hardware")


def outcome(results: Path) -> dict[str, Any]:
    """Records, figures, models and the names of all files, without clocks."""
    figures = json.loads((results / "results.json").read_text(encoding="utf-8"))
    return {
        "records": {path.stem: _record(path) for path in sorted((results / "trials").glob("*.jsonl"))},
        "results.json": without_clocks({name: each for name, each in figures.items() if name not in CIRCUMSTANCES}),
        "models": {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
                   for path in sorted(results.rglob("*.safetensors"))},
        "files": _files(results),
    }  # fmt: skip


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two outcomes differ, one line each."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for i, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{where}/{i}")
        ]
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other}, key=str)
            for line in differences(one.get(key), other.get(key), f"{where}/{key}")
        ]
    return [] if one == other else [f"{where.lstrip('/')} is {other!r}, undisturbed {one!r}"]


def _record(path: Path) -> list[dict[str, Any]]:
    """All lines, each of which must be whole: a line lost or doubled makes another list."""
    return [
        {key: value for key, value in without_clocks(json.loads(line)).items() if key != "crc32"}
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def _files(results: Path) -> dict[str, bool]:
    """Every file; for the event files, of which each run of the command begins another, their folders."""
    files = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    return {str(path.parent if path.parts[0] == "tensorboard" else path): True for path in files}
