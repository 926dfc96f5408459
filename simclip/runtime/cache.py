"""Arrays worth keeping between runs: a folder of .npy files, named by what they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

log = logging.getLogger("simclip")


def cache_folder() -> Path:
    """$SIMCLIP_CACHE, else ~/.cache/simclip."""
    return Path(os.environ.get("SIMCLIP_CACHE") or Path.home() / ".cache" / "simclip")


def fingerprint(*parts: bytes) -> str:
    """A key that differs where any part differs."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def file_stamps(paths: Iterable[Path]) -> bytes:
    """What changes when one of the files does: their absolute paths, sizes and times of last change."""
    here = os.getcwd()
    stamps = [(os.path.join(here, path), (stat := os.stat(path)).st_size, stat.st_mtime_ns) for path in paths]
    return repr(stamps).encode()


def weights_bytes(weights: Iterable[tuple[str, torch.Tensor]]) -> bytes:
    """A digest of named weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in weights:
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


@contextmanager
def one_process(path: Path, what: str) -> Iterator[None]:
    """Be the only one, of all threads and processes of this node, that makes a file; wait until that is so.

    The operating system frees the lock of a process that dies. The lock's own file stays, empty.

    Args:
        path: The file to be made; look again whether it is there.
        what: Its name in the log line of those that wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that makes %s", what)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cached_array(
    kind: str, key: str, make: Callable[[], np.ndarray], anyone: Callable[[bool], bool] = bool
) -> np.ndarray:
    """The array made before under this key, else made now and kept; written whole or not at all.

    Others of this node that want it meanwhile wait for it.

    Args:
        kind: What it is, for the file's name.
        key: What it was made from.
        make: Makes it.
        anyone: From whether this worker lacks the array to whether any worker does, where `make` is their common work:
            one that finds the array, on its own disk or just written, must not leave the others waiting. Where it is
            given, nobody waits: what is wanted twice at the same time is made twice.
    """
    path = cache_folder() / f"{kind}-{key}.npy"
    if anyone(not path.is_file()):
        if anyone is not bool:  # a lock would keep out the workers that the one who holds it waits for
            return _kept(path, make)
        with one_process(path, kind):
            if not path.is_file():
                return _kept(path, make)
    # All processes share the pages, and a change stays in its process; an ordinary array is quicker to index.
    return np.asarray(np.load(path, mmap_mode="c"))


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    array = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)
    return array
