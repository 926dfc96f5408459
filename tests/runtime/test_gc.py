"""The garbage collector rests during imports, and works again after them."""

from __future__ import annotations

import gc

import pytest

from simclip.runtime.gc import paused_gc


def test_it_rests_within_and_works_after_whatever_happens() -> None:
    assert gc.isenabled()
    with pytest.raises(ImportError), paused_gc():
        with paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()  # what is imported may rest too, and wakes nobody
        raise ImportError
    assert gc.isenabled()
