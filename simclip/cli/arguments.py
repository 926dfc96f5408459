"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import tyro

Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]
