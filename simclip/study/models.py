"""The model folders of a study: kept for the leading arms, so that disk use stays bounded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from simclip.checkpoint import link
from simclip.study.config import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.confirm import confirm_records, search_records
from simclip.study.ranking import rank_arms
from simclip.study.records import Record


def keep_models(checkpoint: Path, folder: Path) -> None:
    """Keep the best and the last model of a finished trial's checkpoint, in a folder that is there whole or not at all.

    The checkpoint stays until the end of the trial is on record; on one file system the bytes are not copied.
    """
    part = folder.with_name(f".{folder.name}.part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    for name in ("best", "last"):
        shutil.copytree(checkpoint / name, part / name, copy_function=link)
    part.rename(folder)


def drop_trailing_models(folder: Path, study: StudyConfig, records: Mapping[str, Record]) -> None:
    """Delete the models of all but the first seeds of the search's leading arms and of the confirmed ones.

    An arm whose seeds have not all ended keeps its models: its place is not known yet.

    Args:
        folder: Holds one folder per trial.
        study: The study.
        records: Of the trials that have ended.
    """
    searched = search_records(study, records)
    ended = {arm: [r for r in searched.values() if r.arm == arm] for arm in {r.arm for r in searched.values()}}
    settled = {arm for arm, those in ended.items() if len(those) >= len(study.seeds)}
    leading = [arm.name for arm in rank_arms(searched) if arm.name in settled][: study.keep_models]
    trailing = [r for arm in settled for r in ended[arm] if arm not in leading or r.seed != study.seeds[0]]
    trailing += [r for r in confirm_records(study, records).values() if r.seed != FIRST_CONFIRM_SEED]
    for record in trailing:
        shutil.rmtree(folder / record.trial, ignore_errors=True)
