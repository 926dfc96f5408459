"""Jobs beside their caller: in order, one at a time, and no error is lost."""

from __future__ import annotations

import threading
import time

import pytest

from simclip.runtime.background import Background

PATIENCE = 60.0


def fail(error: BaseException) -> None:
    raise error


def test_a_job_runs_while_the_caller_goes_on() -> None:
    gone_on = threading.Event()
    with Background() as background:
        background.start(lambda: gone_on.wait(PATIENCE) or fail(TimeoutError()))
        gone_on.set()


def test_a_job_waits_for_the_one_before_and_the_block_for_the_last() -> None:
    events: list[str] = []

    def job(number: int) -> None:
        events.append(f"begin {number}")
        time.sleep(0.01)
        events.append(f"end {number}")

    with Background() as background:
        for number in range(3):
            background.start(lambda number=number: job(number))
    assert events == [f"{what} {number}" for number in range(3) for what in ("begin", "end")]


@pytest.mark.parametrize(
    "error", [OSError("full"), SystemExit(0), KeyboardInterrupt()], ids=lambda each: str(type(each))
)
def test_an_error_is_raised_in_the_caller_once(error: BaseException) -> None:
    with Background() as background:
        background.start(lambda: fail(error))
        with pytest.raises(type(error)):
            background.wait()
        background.check()
        background.start(lambda: fail(error))
        with pytest.raises(type(error)):
            while True:
                background.check()
        background.start(lambda: fail(error))
        with pytest.raises(type(error)):
            background.start(lambda: None)
    with pytest.raises(type(error)), Background() as background:
        background.start(lambda: fail(error))


def test_the_callers_own_error_comes_first_and_after_the_job() -> None:
    ended = threading.Event()

    def job() -> None:
        time.sleep(0.01)
        ended.set()
        raise OSError("full")

    with pytest.raises(ValueError, match="own"), Background() as background:
        background.start(job)
        raise ValueError("own")
    assert ended.is_set()
