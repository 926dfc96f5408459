"""Studies that never ran: their records are made up, and written as a study writes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simclip.clusters.coverage import EFFECTIVE, LARGEST, SEEN
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.analysis.results import StudyResults
from simclip.study.analysis.write_results import write_results
from simclip.study.search.plan import planned_trials
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.records import Record, read_records
from tests.html.browser import browser, opened  # noqa: F401  fixtures

GRID = {"cluster_size": {"values": [4, 8]}, "proportion": {"values": [0.5, 1.0]}}
HARDWARE = {"cluster_cpus": 2.0, "cluster_gpus": 0.0, "gpu": [], "machine": "x86_64", "system": "Linux"}
NAMES = {
    "retrieval": ("mean_r1", "t2i_r1", "t2i_r5", "i2t_r1", "i2t_r5"),
    "classification": ("top1", "top5"),
    "pairs": ("accuracy", "colour", "size"),
}
PAIRS = {"accuracy": 1.2, "colour": 1.1, "size": 1.3}
SCALES = {
    **PAIRS,
    "mean_r1": 1.0,
    "t2i_r1": 0.98,
    "i2t_r1": 1.02,
    "t2i_r5": 1.4,
    "i2t_r5": 1.5,
    "top1": 1.3,
    "top5": 1.7,
}


class MadeUp:
    """A study in a folder, and the trials that are played in it."""

    def __init__(self, folder: StudyFolder, study: StudyConfig, gain: Callable[[Any], float]) -> None:
        self.folder, self.study, self.gain = folder, study, gain
        self.clock = 1_750_000_000.0
        folder.claim(study)

    @property
    def results(self) -> StudyResults:
        """What has been played so far."""
        return StudyResults.read(self.folder)

    def search(self, **changes: Any) -> MadeUp:
        """Every trial of a grid or random search."""
        for trial in planned_trials(self.study):
            self.play(trial, **changes)
        return self.close()

    def confirm(self, count: int | None = None) -> MadeUp:
        """The confirm stage, or its first trials."""
        for trial in confirm_trials(self.results)[:count]:
            self.play(trial)
        return self.close()

    def play(
        self, trial: Trial, epochs: int | None = None, outcome: str | None = "finished", error: str | None = None
    ) -> Record:
        """One trial, of so many epochs."""
        epochs = trial.config.epochs if epochs is None else epochs
        history = [self._row(trial, epoch) for epoch in range(epochs + 1)]
        seconds = 10.0 * len(history)
        record = Record.of(trial, history, outcome=outcome, seconds=seconds, error=error, started=self.clock)
        self.clock += seconds / 2
        record.write(self.folder.trials)
        return record

    def change(self, trial: str, **fields: Any) -> None:
        """Write a trial's record with other fields."""
        replace(read_records(self.folder.trials)[trial], **fields).write(self.folder.trials)

    def close(self) -> MadeUp:
        """What the study writes beside its records."""
        write_results(self.folder.path, self.results, HARDWARE)
        return self

    def _row(self, trial: Trial, epoch: int) -> dict[str, Any]:
        noise = np.random.default_rng(zlib.crc32(f"{trial.name}/{epoch}".encode())).normal(0, 0.006)
        if epoch == 0:
            base = 0.1
        else:
            seeded = np.random.default_rng(trial.seed).normal(0, 0.01)
            base = 0.44 - 0.3 * 0.5**epoch + self.gain(trial.config) + seeded + noise
        row: dict[str, Any] = {"epoch": epoch, "metric": base, "seconds": 10.0}
        if epoch:
            seen = 1 - 0.5 * trial.config.proportion
            row |= {SEEN: seen, LARGEST: 2 + epoch, EFFECTIVE: 900.0 * seen}
        for each in trial.config.evaluation_sets:
            names = NAMES[each.kind]
            # What the flags lose by fine-tuning is made up too.
            offset = 0.4 * (epoch == 0) if each.name == "flags" else 0.0
            row |= {f"{each.name}/{name}": min(0.99, SCALES[name] * base + offset) for name in names}
            if each.kind == "retrieval":
                row[f"{each.name}/loss"] = 4 - 5 * base
        row["metric"] = row["val/mean_r1"] if trial.config.metric == "val/mean_r1" else row["val/loss"]
        return row


def rising(config: Any) -> float:
    """Clusters help, most at k = 8 with the warm-up."""
    if config.is_control:
        return 0.0
    return 0.03 - 0.012 * abs(np.log2(config.cluster_size / 8)) + 0.01 * config.proportion_warmup


@pytest.fixture
def make_up(tmp_path: Path) -> Callable[..., MadeUp]:
    """A study file's fields to a study without any trial."""

    def make(
        name: str = "toy",
        gain: Callable[[Any], float] = rising,
        parameters: Any = GRID,
        train: Any = None,
        **fields: Any,
    ) -> MadeUp:
        data = {"val_tsv": "/data/val.tsv", "val_image_dir": "/data/images", "model": "/models/tiny"}
        flags = {"kind": "classification", "name": "flags", "image_dir": "/data/flags"}
        lengths = {"batch_size": 64, "epochs": 6, "warmup_intervals": 3}
        pairs = {"kind": "pairs", "name": "swapped", "files": "/data/swapped.tsv", "image_dir": "/data/images"}
        shared = {**lengths, **data, "evaluate": [flags, pairs], **(train or {})}
        content = {"seeds": [1, 2], "train": shared, "parameters": parameters, **fields}
        return MadeUp(StudyFolder(tmp_path / name), StudyConfig(name=name, **content), gain)

    return make
