"""Words to the person at the terminal that are no table."""

from __future__ import annotations

import sys


def fail(message: str) -> None:
    """Print one line to stderr, exactly as it is, for a message that is to be searched for or piped on."""
    print(f"error: {message}", file=sys.stderr, flush=True)
