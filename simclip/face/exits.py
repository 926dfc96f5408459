"""How a command ends: its exit code, and one line on stderr where it could not do its work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from simclip.errors import InputError

DONE, FAILED, WRONG_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; wrong input and Ctrl-C become a line and a code of their own."""
    # A terminal that cannot show a character of a caption must not end a study.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return command()
    except InputError as error:
        fail(str(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # as in `python tune.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return NO_READER


def fail(message: str) -> None:
    """Print one line to stderr, exactly as it is, for a message that is to be searched for or piped on."""
    print(f"error: {message}", file=sys.stderr, flush=True)
