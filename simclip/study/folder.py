"""Where things lie in a study's results, and whose results they are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from simclip.checkpoint import finished_epochs
from simclip.errors import InputError
from simclip.study.arms import Trial
from simclip.study.changes import flat, listed, refused_changes
from simclip.study.config import StudyConfig, dump
from simclip.study.overrides import read_mapping
from simclip.study.records import read_all, write_atomically
from simclip.study.single import SingleRun
from simclip.suggest import explain


@dataclass(frozen=True)
class StudyFolder:
    """The results of one study."""

    path: Path

    @property
    def file(self) -> Path:
        """The study with every default filled in."""
        return self.path / "study.yaml"

    @property
    def trials(self) -> Path:
        """One record per trial."""
        return self.path / "trials"

    @property
    def logs(self) -> Path:
        """One log file per trial."""
        return self.path / "logs"

    @property
    def models(self) -> Path:
        """Model folders of the leading trials."""
        return self.path / "models"

    @property
    def best(self) -> Path:
        """Model folder of the best arm on its first seed."""
        return self.path / "best"

    @property
    def tune(self) -> Path:
        """Ray Tune's own files; gone once the study has ended."""
        return self.path / "tune"

    @property
    def train(self) -> Path:
        """Checkpoints of nested trainers on their way to Tune; gone once the study has ended."""
        return self.path / "train"

    @property
    def unfinished(self) -> Path:
        """The checkpoint that each unfinished trial goes on from."""
        return self.path / "unfinished"

    def recorded(self) -> dict[str, Any] | None:
        """The fields of the study that these results are of, by dotted name; None where there are none yet."""
        return flat(yaml.safe_load(self.file.read_text(encoding="utf-8"))) if self.file.exists() else None

    def study(self) -> StudyConfig:
        """The study that these results are of.

        Raises:
            InputError: The folder holds no study's results.
        """
        if not self.file.is_file():
            raise InputError(f"no such file: {self.file}; give the results folder of a study")
        content = read_mapping(self.file)
        schema = SingleRun if "arm" in content else StudyConfig
        try:
            return schema.model_validate(content)
        except ValidationError as error:
            raise explain(error, str(self.file), schema) from None

    def claim(self, study: StudyConfig) -> None:
        """Write the study file of a new study; go on with results of the same one, or one that this one extends.

        Raises:
            InputError: The folder holds another study, or files that are no study's.
        """
        earlier = self.recorded()
        if earlier is None and self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path}: not empty and no study's results: give another folder with --results")
        if earlier is not None and (fields := refused_changes(earlier, study, read_all(self.trials))):
            raise InputError(
                f"{self.path}: holds another study: {listed(fields)}; change the study's name or --results, or move "
                "the earlier results aside with --fresh"
            )
        write_atomically(self.file, dump(study))

    def move_aside(self) -> Path | None:
        """Rename the folder, keeping all that is in it; None where there is nothing to move."""
        if not self.path.exists():
            return None
        aside = self.path.with_name(f"{self.path.name}-until-{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.rename(aside)
        return aside

    def drop_scratch(self) -> None:
        """Delete what only a running study needs, once the checkpoints of unfinished trials are in safety."""
        for trial in [each.name for each in self.tune.glob("*") if each.is_dir()]:
            self.rescue(trial)
        for folder in (self.tune, self.train):
            shutil.rmtree(folder, ignore_errors=True)

    def rescue(self, trial: str) -> Path | None:
        """Move a trial's newest whole checkpoint to where it goes on from; the folder there, if there is one now."""
        kept = self.unfinished / trial
        for found in (self.tune / trial).glob("checkpoint_*"):
            if (finished_epochs(found) or -1) > (finished_epochs(kept) or -1):
                shutil.rmtree(kept, ignore_errors=True)
                kept.parent.mkdir(exist_ok=True)
                found.rename(kept)
        shutil.rmtree(self.tune / trial, ignore_errors=True)
        return kept if finished_epochs(kept) is not None else None

    def checkpoints(self, trials: Iterable[Trial]) -> dict[str, Path]:
        """By name, the checkpoints that trials go on from."""
        folders = {trial.name: self.unfinished / trial.name for trial in trials}
        return {name: folder for name, folder in folders.items() if finished_epochs(folder) is not None}
