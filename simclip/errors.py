"""Exceptions that the command lines print as one line, and what an exception stems from."""

from __future__ import annotations

import errno
from collections.abc import Iterator

#: What the operating system calls a full disk.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """Wrong input: what, where, what was expected and how to fix it, in one line.

    The command lines print its text to stderr without a traceback and exit with code 2.
    """


class ArmError(InputError):
    """Settings of one arm that the data or the memory do not allow, found while it runs: it fails, others may run."""


class LostError(Exception):
    """The Ray cluster that a study ran on was lost; the same command resumes the study. Exit code 1."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and every error that it stems from, those of a nested Ray trainer's workers among them.

    An error that Ray wraps to carry it to another process stands for its wrapper.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if not isinstance(getattr(each, "cause", None), BaseException):
            yield each  # left out is RayTaskError, which is of its cause's type too, with a whole traceback as its text
        pending += getattr(each, "worker_failures", {}).values()  # Ray Train's WorkerGroupError
        pending += [getattr(each, name, None) for name in ("controller_failure", "health_check_failure", "cause")]
        pending += [each.__cause__, each.__context__]


def input_error(error: BaseException) -> InputError | None:
    """The InputError that an error stems from."""
    return next((each for each in causes(error) if isinstance(each, InputError)), None)


def full_disk_error(error: BaseException) -> OSError | None:
    """The OSError of a full disk that an error stems from."""
    return next((each for each in causes(error) if isinstance(each, OSError) and each.errno in FULL_DISK), None)
