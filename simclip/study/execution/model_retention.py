"""The model folders of a study: kept for the leading arms, so that disk use stays bounded."""

from __future__ import annotations

from simclip.study.analysis.results import StudyResults
from simclip.study.spec.study import FIRST_CONFIRM_SEED
from simclip.study.store import layout
from simclip.study.store.storage import Storage


def keep_models(storage: Storage, checkpoint: str, trial: str) -> None:
    """Keep the best and the last model of a finished trial's checkpoint.

    The checkpoint stays until the end of the trial is on record; on one file system the bytes are not copied.
    """
    storage.copy(checkpoint, f"{layout.MODELS}/{trial}", only=("best", "last"), linked=True)


def drop_trailing_models(storage: Storage, results: StudyResults) -> None:
    """Delete the models of all but the first seeds of the search's leading arms and of the confirmed ones.

    An arm whose seeds have not all ended keeps its models: its place is not known yet.

    Args:
        storage: Of the study's results.
        results: The results so far.
    """
    study, searched = results.study, results.search
    ended = {arm: [r for r in searched.values() if r.arm == arm] for arm in {r.arm for r in searched.values()}}
    settled = {arm for arm, those in ended.items() if len(those) >= len(study.seeds)}
    leading = [arm.name for arm in results.ranking if arm.name in settled][: study.keep_models]
    trailing = [r for arm in settled for r in ended[arm] if arm not in leading or r.seed != study.seeds[0]]
    trailing += [r for r in results.confirm.values() if r.seed != FIRST_CONFIRM_SEED]
    for trial in {record.trial for record in trailing} & {*storage.folders(layout.MODELS)}:
        storage.delete(f"{layout.MODELS}/{trial}")
