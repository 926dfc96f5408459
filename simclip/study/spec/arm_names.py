"""Names of arms that are readable and safe as file names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from simclip.train.config import TrainConfig

#: Maximum length of an arm's name, in characters; file names have at most 255 bytes.
MAX_LENGTH = 150


def arm_name(settings: dict[str, Any]) -> str:
    """The name of an arm with these training fields, e.g. k16-p0.5-warm."""
    return "-".join(_part(field, value) for field, value in settings.items())[:MAX_LENGTH]


def _part(field: str, value: Any) -> str:
    symbol = TrainConfig.traits(field).symbol
    if isinstance(symbol, tuple):
        return symbol[bool(value)]
    if isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, list | tuple):
        text = "_".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    else:
        text = Path(value).name if isinstance(value, str | Path) else "default" if value is None else str(value)
    text = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)[:40].strip("_")
    return f"{symbol}{text}"
