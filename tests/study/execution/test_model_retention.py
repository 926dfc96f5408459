"""Which models stay on disk."""

from __future__ import annotations

from pathlib import Path

from simclip.study.analysis.results import StudyResults
from simclip.study.execution.recorder import drop_trailing_models
from simclip.study.spec.study import Confirm, StudyConfig
from simclip.study.store.storage import Disk
from tests.study.made_up import by_name, record


def test_models_stay_for_leading_arms_and_for_unsettled_ones(tmp_path: Path) -> None:
    records = by_name(
        record("control", 1, 0, 0.1), record("control", 2, 0, 0.1),
        record("k4", 1, 0, 0.5), record("k4", 2, 0, 0.5),
        record("k8", 1, 0, 0.01),
    )  # fmt: skip
    for name in records:
        (tmp_path / "models" / name).mkdir(parents=True)
    study = StudyConfig(name="s", seeds=[1, 2], keep_models=1, confirm=Confirm(arms=1, seeds=2))
    drop_trailing_models(Disk(str(tmp_path)), StudyResults(study, records))
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"k4-s1", "k8-s1"}


def test_of_the_confirm_stage_the_first_seeds_models_stay(tmp_path: Path) -> None:
    records = by_name(*(record(arm, seed, 0, 0.1) for arm in ("control", "k4") for seed in (1, 1000, 1001)))
    for name in records:
        (tmp_path / "models" / name).mkdir(parents=True)
    study = StudyConfig(name="s", confirm=Confirm(arms=1, seeds=2))
    drop_trailing_models(Disk(str(tmp_path)), StudyResults(study, records))
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left == {"control-s1", "k4-s1", "control-s1000", "k4-s1000"}
