"""Which errors mean that a process was lost, and which that the program or its input is wrong.

Only the loss of a process deserves another try: what raised once raises again.
"""

from __future__ import annotations

from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

from simclip.errors import causes

LOST = (RayActorError, WorkerCrashedError, NodeDiedError)


def is_lost_process(error: BaseException) -> bool:
    """Whether a process or its node was lost.

    When one of several workers dies, the others fail with it, so that a single loss among many errors decides. A
    process that was killed because the machine ran out of memory would be killed again.
    """
    return not is_out_of_memory(error) and any(isinstance(each, LOST) for each in causes(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Ray killed a process because the machine ran out of memory."""
    return any(isinstance(each, OutOfMemoryError) or "running low on memory" in str(each) for each in causes(error))


def is_preempted(error: BaseException) -> bool:
    """Whether the node was taken away by its provider, which says nothing about the trial."""
    return any(isinstance(each, RayActorError) and each.preempted for each in causes(error))
