"""Threads keep the order of their work."""

import pytest

from simclip.runtime.threads import in_threads


def test_threads_keep_the_order() -> None:
    assert list(in_threads(lambda number: number**2, 50)) == [number**2 for number in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // (number - 30), 50))
    assert list(in_threads(str, 0)) == []
