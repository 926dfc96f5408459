"""Let file permissions count for root, too."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

#: Linux's CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root reads and writes whatever it wants.
BITS = 1 << 1 | 1 << 2
VERSION_3 = 0x20080522


@contextlib.contextmanager
def permissions_count() -> Iterator[None]:
    """Give up root's right to pass over permissions while the block runs, in this thread and those that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    now = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    if libc.capget(header, now):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    fewer = (ctypes.c_uint32 * 6)(*now)
    fewer[0] &= ~BITS
    if libc.capset(header, fewer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        libc.capset(header, now)
