"""Keyed randomness: every draw depends on its key alone, never on earlier draws.

Results therefore do not depend on the number of workers, on earlier work in the process, or on resuming.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np


def generator(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Make a fresh generator for one purpose of one run.

    Args:
        seed: Seed of the run, at least 0.
        purpose: What is drawn, e.g. "shuffle" or "anchor".
        key: Further parts of the key, e.g. epoch and batch.
    """
    return np.random.default_rng([seed, crc32(purpose.encode()), *key])


def row_uniforms(seed: int, purpose: str, epoch: int, rows: np.ndarray, draws: int) -> np.ndarray:
    """Uniform numbers for each row, independent of the batch or the order that the rows come in.

    A counter-based generator: the SplitMix64 finaliser (Steele, Lea, Flood 2014) of key + row and draw.

    Args:
        rows: int [n], row numbers.
        draws: Number of draws per row.

    Returns:
        float64 [n, draws] in [0, 1).
    """
    key = generator(seed, purpose, epoch).integers(2**64, dtype=np.uint64)
    counter = rows.astype(np.uint64)[:, None] * np.uint64(draws) + np.arange(draws, dtype=np.uint64)
    z = key + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
