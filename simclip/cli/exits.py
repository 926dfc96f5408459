"""How a command ends: its exit code, and one line on stderr where it could not do its work."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from simclip.errors import FULL_DISK, InputError, LostError

DONE, FAILED, WRONG_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def leave(code: int) -> NoReturn:
    """End the process without a last look at every object of torch and Ray for garbage, which takes two seconds."""
    gc.freeze()
    sys.exit(code)


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; wrong input and Ctrl-C become a line and a code of their own."""
    # A terminal that cannot show a character of a caption must not end a study.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    heed_termination()
    try:
        return command()
    except InputError as error:
        fail(str(error))
        return WRONG_INPUT
    except LostError as error:
        fail(f"{error}: type the same command again; all that was finished is on record")
        return FAILED
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # as in `python tune.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return NO_READER
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        fail(f"no space left for {error.filename or 'a file'}: free some and type the same command again; all that was "
             "finished is on record")  # fmt: skip
        return FAILED


def heed_termination() -> None:
    """Let SIGTERM do what Ctrl-C does: Ray's jobs, Kubernetes and batch systems end a process with it.

    Ray puts a handler of its own in place when it connects, so that this is called once more after that.
    """
    signal.signal(signal.SIGTERM, _as_ctrl_c)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    # The handler is called, not the signal raised: a Ray job begins with SIGINT blocked.
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def fail(message: str) -> None:
    """Print one line to stderr, exactly as it is, for a message that is to be searched for or piped on."""
    print(f"error: {message}", file=sys.stderr, flush=True)
