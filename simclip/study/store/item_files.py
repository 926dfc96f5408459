"""The files beside the records of the confirm stage: which test items a trial got right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simclip.evaluation.items import read_items, scatter
from simclip.study.store import layout
from simclip.study.store.records import Record


class ItemFiles:
    """Reads the files of a study's trials, each once.

    Args:
        folder: Folder of the trials' records.
        by_arm: Other folders of some arms' records, by the arms' names.
    """

    def __init__(self, folder: Path, by_arm: Mapping[str, Path] | None = None) -> None:
        self._folder, self._by_arm = folder, by_arm or {}
        self._read: dict[tuple[str, int, str], np.ndarray] = {}

    def scatter(self, record: Record, metric: str | Mapping[str, float]) -> np.ndarray | None:
        """How much each test image moves the metric of a trial at its best epoch, float64 [images].

        See `simclip.evaluation.items.scatter`. None if the trial kept no items (as those of earlier versions), if they
        are damaged, or if the metric is no share of items.
        """
        if record.best is None:
            return None
        key = record.trial, record.best["epoch"], repr(metric)
        if key not in self._read:
            folder = self._by_arm.get(record.arm, self._folder)
            shares = read_items(folder / f"{record.trial}{layout.ITEMS}", record.best["epoch"])
            found = None if shares is None else scatter(metric, shares)
            if found is None:
                return None
            self._read[key] = found
        return self._read[key]
