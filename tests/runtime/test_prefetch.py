"""Running ahead in a thread: the same items, no more than asked for, and no thread left."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simclip.runtime import prefetch as module
from simclip.runtime.prefetch import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not threads()


class Source:
    """Counts up to a number; knows how far it got, who asked, and whether it was closed."""

    def __init__(self, count: int, fails: bool = False) -> None:
        self.count, self.fails = count, fails
        self.made = 0
        self.closed_by: threading.Thread | None = None
        self.asked_by: set[threading.Thread] = set()

    def items(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self.asked_by.add(threading.current_thread())
                self.made += 1
                yield number
            if self.fails:
                raise KeyError("lost")
        finally:
            self.closed_by = threading.current_thread()


def settle(source: Source) -> int:
    """How far the source has run when it has stood still for a while."""
    made = -1
    while made != source.made:
        made = source.made
        time.sleep(0.03)
    return made


@given(st.lists(st.integers() | st.none()), st.integers(1, 5))
def test_the_same_items_in_the_same_order(items: list[int | None], ahead: int) -> None:
    assert list(prefetch(iter(items), ahead)) == items


@pytest.mark.parametrize("ahead", [1, 3])
def test_it_runs_ahead_as_far_as_it_may_and_in_another_thread(ahead: int) -> None:
    source = Source(50)
    items = prefetch(source.items(), ahead)
    assert settle(source) == 0 and not threads()  # nothing before the first is asked for
    for number in range(4):
        assert next(items) == number
        assert settle(source) == number + 1 + ahead
    assert list(items) == list(range(4, 50))
    assert threading.current_thread() not in source.asked_by and len(source.asked_by) == 1


def test_an_error_stands_where_its_item_would_have() -> None:
    items = prefetch(Source(5, fails=True).items())
    assert [next(items) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError, match="lost"):
        next(items)
    assert not threads()
    assert list(items) == []


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_closing_early_ends_thread_and_source(taken: int) -> None:
    source = Source(10_000)
    items = prefetch(source.items())
    for _ in range(taken):
        next(items)
    items.close()
    assert not threads()
    assert source.made <= taken + 2
    assert (source.closed_by is not None) == (taken > 0)


def test_a_consumer_that_breaks_off_leaves_nothing() -> None:
    source = Source(10_000)
    for number in prefetch(source.items()):
        if number == 3:
            break
    assert not threads() and source.closed_by is not None


def test_a_consumer_that_fails_leaves_nothing_once_its_error_is_dealt_with() -> None:
    source = Source(10_000)

    def consume() -> None:
        for number in prefetch(source.items()):
            if number == 3:
                raise ValueError("consumer")

    with suppress(ValueError):
        consume()
    gc.collect()
    assert not threads() and source.closed_by is not None


def test_a_source_that_hangs_does_not_hold_up_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait()

    items = prefetch(hanging())
    assert next(items) == 1
    items.close()
    (thread,) = threads()
    assert thread.daemon
    release.set()
    thread.join(10)


def test_torchs_settings_of_the_consumer_are_its_own() -> None:
    def source() -> Iterator[bool]:
        with torch.no_grad():
            yield torch.is_grad_enabled()
            yield torch.is_grad_enabled()

    seen = [(inside, torch.is_grad_enabled()) for inside in prefetch(source())]
    assert seen == [(False, True), (False, True)]
