"""A cache of arrays between runs: a folder of .npy files, named by fingerprints of their inputs."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from simclip.runtime.files import cache_folder, checksum

if TYPE_CHECKING:
    import torch

log = logging.getLogger("simclip")


def fingerprint(*parts: bytes) -> str:
    """A hash of several parts; differs if any part differs."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def file_stamps(paths: Iterable[Path]) -> bytes:
    """Absolute paths, sizes and modification times of files, as bytes: differ after any change to a file."""
    here = os.getcwd()
    stamps = [(os.path.join(here, path), (stat := os.stat(path)).st_size, stat.st_mtime_ns) for path in paths]
    return repr(stamps).encode()


def weights_bytes(weights: Iterable[tuple[str, torch.Tensor]]) -> bytes:
    """A digest of named weights, 16 bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in weights:
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


@contextmanager
def one_process(path: Path, what: str) -> Iterator[None]:
    """Lock a file that is about to be made, among all threads and processes of this node; waits for the lock.

    The operating system releases the lock of a process that dies.

    Args:
        path: The file; check inside the block whether another process has made it meanwhile.
        what: Name of the file in the log line of waiting processes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for another process that makes %s", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cached_array(
    kind: str, key: str, make: Callable[[], np.ndarray], any_worker: Callable[[bool], bool] = bool
) -> np.ndarray:
    """Load an array from the cache, or make it and write it there, atomically.

    Other processes of this node that need the array wait until it is made.

    Args:
        kind: First part of the file's name.
        key: Fingerprint of everything that the array depends on.
        make: Makes the array.
        any_worker: Needed if all workers of a run take part in `make`: tells whether a flag is set on any of them (see
            `Workers.any_on`). All workers then make the array if any lacks it, and nobody waits for a lock: two runs
            that need the array at the same time both make it.
    """
    path = cache_folder() / f"{kind}-{key}.npy"
    array = _loaded(path)
    if any_worker(array is None):
        if any_worker is not bool:  # a lock would keep out the workers that its owner waits for
            return _made(path, make)
        with one_process(path, kind):
            if (array := _loaded(path)) is None:
                return _made(path, make)
    assert array is not None
    return array


def _loaded(path: Path) -> np.ndarray | None:
    """The array in a file, followed by its checksum; None if there is no such file, or if it is damaged.

    Files of earlier versions end without a checksum.
    """
    if not path.is_file():
        return None
    try:
        array = np.load(path, mmap_mode="c")
        content = np.memmap(path, np.uint8, mode="r")
        end = array.offset + array.nbytes
        whole = content[end:].tobytes() in (b"", zlib.crc32(content[:end].data).to_bytes(4, "little"))
    except (ValueError, EOFError, OSError, SyntaxError, AttributeError, TypeError):  # as a damaged header may raise
        whole = False
    if not whole:
        log.warning("%s is damaged and is made again", path)
        return None
    # Processes share the pages (copy on write); a plain ndarray is quicker to index than a memmap.
    return np.asarray(array)


def _made(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    array = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, array)
        file.flush()
        file.write(checksum(Path(file.name)).to_bytes(4, "little"))
    try:
        os.replace(file.name, path)
    except IsADirectoryError:
        os.unlink(file.name)
        log.warning("%s is a folder: delete it, or what belongs there is made again each time", path)
    return array
