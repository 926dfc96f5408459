"""The model folders of a study: kept for the leading arms, so that disk use stays bounded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from simclip.study.records import Record
from simclip.study.results import rank_arms


def keep_models(checkpoint: Path, folder: Path) -> None:
    """Move the best and the last model out of a finished trial's checkpoint, and drop its training state."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("best", "last"):
        shutil.move(checkpoint / name, folder / name)
    shutil.rmtree(checkpoint)


def drop_trailing_models(folder: Path, records: Mapping[str, Record], seeds: Sequence[int], keep: int) -> None:
    """Delete the models of all but the first seeds of the leading arms.

    An arm whose seeds have not all ended keeps its models: its place is not known yet.

    Args:
        folder: Holds one folder per trial.
        records: Of the trials that have ended.
        seeds: Of the study, the first of which gives an arm its model.
        keep: Leading arms.
    """
    ended = {arm: [r for r in records.values() if r.arm == arm] for arm in {r.arm for r in records.values()}}
    settled = {arm for arm, those in ended.items() if len(those) >= len(seeds)}
    leading = [arm.name for arm in rank_arms(records) if arm.name in settled][:keep]
    for arm in settled:
        for record in ended[arm]:
            if arm not in leading or record.seed != seeds[0]:
                shutil.rmtree(folder / record.trial, ignore_errors=True)
