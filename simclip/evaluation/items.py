"""The items behind a metric: which queries, images or pairs a model got right.

A test set is a sample too. The items show how much a metric would differ on other test images like these.
"""

from __future__ import annotations

import io
import statistics
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simclip.config.schema import metric_weights
from simclip.evaluation.evaluation_set import SetContents


class Items(NamedTuple):
    """Items that were answered right or wrong.

    Attributes:
        right: bool [n], whether each item was answered right; n is at least 1.
        images: int64 [n], the row of each item's image in the set. Items of one image are not independent.
    """

    right: np.ndarray
    images: np.ndarray


class Share(float):
    """A share of items that were answered right, or the plain mean of several such shares: a number with its items.

    Attributes:
        parts: The items of each share.
    """

    parts: tuple[Items, ...]

    def __new__(cls, *parts: Items) -> Share:
        """The mean of the parts' shares, in [0, 1]."""
        share = super().__new__(cls, statistics.fmean(float(part.right.mean()) for part in parts))
        share.parts = parts
        return share


def scatter(metric: str | Mapping[str, float], shares: Mapping[str, Sequence[Items]]) -> np.ndarray | None:
    """How much each test image moves an objective, by linearisation: the sum of squares is the objective's variance.

    The variance is that over draws of test images, with all items of an image drawn together (cluster-robust, as of a
    ratio estimator; Cochran, Sampling Techniques, 3rd ed., section 9A). Images of different sets count as different.

    Args:
        metric: A metric <set>/<name>, or the weights of several.
        shares: The items of each share's parts, by <set>/<name>.

    Returns:
        float64 [images of all sets in the objective], with sum 0 within each set; None if a metric is no share.
    """
    weights = metric_weights(metric)
    if any(name not in shares for name in weights):
        return None
    total, moved = sum(weights.values()), dict[str, np.ndarray]()
    for name, weight in weights.items():
        parts = shares[name]
        for right, images in parts:
            deviations = (right - right.mean()) * weight / total / len(parts) / len(right)
            own = np.bincount(images, deviations)
            earlier = moved.get(name.rpartition("/")[0], np.zeros(0))
            longer, other = (own, earlier) if len(own) > len(earlier) else (earlier, own)
            longer[: len(other)] += other
            moved[name.rpartition("/")[0]] = longer
    return np.concatenate([each * np.sqrt(len(each) / max(len(each) - 1, 1)) for each in moved.values()])


def items_bytes(epoch: int, shares: Mapping[str, Sequence[Items]]) -> bytes:
    """The content of a file with the items of an epoch: a bit per item, and each list of images once.

    Args:
        epoch: The epoch that they belong to.
        shares: The items of each share's parts, by <set>/<name>.
    """
    arrays, places = {"epoch": np.array(epoch)}, dict[bytes, str]()
    for name, parts in shares.items():
        for number, (right, images) in enumerate(parts):
            place = places.setdefault(images.tobytes(), f"images{len(places)}")
            arrays[place] = images.astype(np.int32)
            arrays[f"right:{number}:{place}:{name}"] = np.packbits(right)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags
    return file.getvalue()


def read_items(path: Path, epoch: int) -> dict[str, list[Items]] | None:
    """The items of an epoch, by <set>/<name>; None if the file is missing, damaged or of another epoch."""
    shares: dict[str, list[Items]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["epoch"]) != epoch:
                return None
            for key in arrays.files:
                if key.startswith("right:"):
                    _, _, place, name = key.split(":", 3)
                    shares.setdefault(name, []).append(_unpacked(arrays[key], arrays[place]))
    except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, zlib.error):
        return None
    return shares


def most_bytes(contents: SetContents) -> int:
    """An upper bound for what a set adds to the file of a trial, in bytes: a bit per item and metric, and images."""
    items = max(len(contents.images), len(contents.texts))
    return len(contents.metrics) * (items // 8 + 300) + 2 * 4 * items


def _unpacked(bits: np.ndarray, images: np.ndarray) -> Items:
    return Items(np.unpackbits(bits, count=len(images)).astype(bool), images.astype(np.int64))
