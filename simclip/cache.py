"""Arrays worth keeping between runs: a folder of .npy files, named by what they were made from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch


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
    stamps = [(str(path.absolute()), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    return repr(stamps).encode()


def weights_bytes(weights: Iterable[tuple[str, torch.Tensor]]) -> bytes:
    """A digest of named weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in weights:
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def cached_array(
    kind: str, key: str, make: Callable[[], np.ndarray], anyone: Callable[[bool], bool] = bool
) -> np.ndarray:
    """The array made before under this key, else made now and kept; written whole or not at all.

    Args:
        kind: What it is, for the file's name.
        key: What it was made from.
        make: Makes it.
        anyone: From whether this worker lacks the array to whether any worker does, where `make` is their common work:
            one that finds the array, on its own disk or just written, must not leave the others waiting.
    """
    path = cache_folder() / f"{kind}-{key}.npy"
    if not anyone(not path.is_file()):
        return np.load(path)
    array = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)
    return array
