"""Which errors mean that a process was lost, and which that the program or its input is wrong.

Only the loss of a process deserves another try: what raised once raises again.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

from simclip.errors import InputError

LOST = (RayActorError, WorkerCrashedError, NodeDiedError)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it stems from, those of a nested trainer's workers among them."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += getattr(each, "worker_failures", {}).values()  # Ray Train's WorkerGroupError
        pending += [getattr(each, name, None) for name in ("controller_failure", "health_check_failure", "cause")]
        pending += [each.__cause__, each.__context__]


def is_wrong_input(error: BaseException) -> InputError | None:
    """The InputError that an error stems from."""
    return next((each for each in chain(error) if isinstance(each, InputError)), None)


def is_full_disk(error: BaseException) -> OSError | None:
    """The OSError of a full disk that an error stems from."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return next((each for each in chain(error) if isinstance(each, OSError) and each.errno in full), None)


def is_lost_process(error: BaseException) -> bool:
    """Whether a process or its node was lost.

    When one of several workers dies, the others fail with it, so that a single loss among many errors decides. A
    process that was killed because the machine ran out of memory would be killed again.
    """
    return not is_out_of_memory(error) and any(isinstance(each, LOST) for each in chain(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Ray killed a process because the machine ran out of memory."""
    return any(isinstance(each, OutOfMemoryError) or "running low on memory" in str(each) for each in chain(error))


def is_preempted(error: BaseException) -> bool:
    """Whether the node was taken away by its provider, which says nothing about the trial."""
    return any(isinstance(each, RayActorError) and each.preempted for each in chain(error))
