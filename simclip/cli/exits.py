"""How a command ends: its exit code, and one line on stderr if it failed."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from simclip.cli.terminal.safe_console import safe
from simclip.errors import FULL_DISK, InputError, LostError, causes

#: What the operating system says of a folder in place of a file, a link to nowhere, a read-only folder and the like.
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)

BROKEN_TORCHVISION = (
    "the installed torchvision does not fit the installed torch, so transformers cannot be imported: uninstall it (pip "
    "uninstall torchvision), nothing here uses it; requirements-evaluation.txt belongs in an environment of its own"
)
DONE, FAILED, WRONG_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def leave(code: int) -> NoReturn:
    """End the process without a final garbage collection, which takes two seconds with torch and Ray."""
    gc.freeze()
    sys.exit(code)


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; wrong input, Ctrl-C and a full disk are reported in one line."""
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
        fail(f"{error}: run the same command to resume; finished trials are kept")
        return FAILED
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED
    except (ImportError, RuntimeError) as error:
        if not any("torchvision" in str(each) for each in causes(error)):
            raise
        fail(BROKEN_TORCHVISION)
        return WRONG_INPUT
    except BrokenPipeError:  # as in `python tune.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes
        return NO_READER
    except OSError as error:
        where = error.filename2 or error.filename
        if error.errno in FULL_DISK:
            fail(f"no space left for {where or 'a file'}: free some and run the same command to resume; finished "
                 "trials are kept")  # fmt: skip
            return FAILED
        if error.errno not in IN_THE_WAY or where is None:
            raise
        fail(f"{where}: {str(error.strerror).lower()}: nothing was changed there. Move it out of the way or make it "
             "accessible, and run the same command; finished trials are kept")  # fmt: skip
        return WRONG_INPUT


def heed_termination() -> None:
    """Treat SIGTERM like Ctrl-C: Ray jobs, Kubernetes and batch systems end a process with it.

    Ray installs its own handler when it connects, so this is called again after that.
    """
    signal.signal(signal.SIGTERM, _as_ctrl_c)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    # Calls the handler instead of raising the signal: a Ray job starts with SIGINT blocked.
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def fail(message: str) -> None:
    """Print one line to stderr without wrapping it, so that it can be searched for or piped."""
    print(safe(f"error: {message}"), file=sys.stderr, flush=True)
