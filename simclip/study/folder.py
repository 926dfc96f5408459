"""Where things lie in a study's results, and whose results they are."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from simclip.errors import InputError
from simclip.study.config import StudyConfig, dump
from simclip.study.overrides import read_mapping
from simclip.study.records import write_atomically
from simclip.study.single import SingleRun
from simclip.suggest import explain

#: Fields that change neither what trials measure nor which there are (or add some).
FREE_FIELDS = (
    "description", "resources.cpus", "resources.gpus", "max_concurrent", "keep_models", "confirm.arms", "confirm.seeds",
)  # fmt: skip


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

    def recorded(self) -> dict[str, Any] | None:
        """The fields of the study that these results are of, by dotted name; None where there are none yet."""
        return _flat(yaml.safe_load(self.file.read_text(encoding="utf-8"))) if self.file.exists() else None

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
        """Write the study file of a new study; go on with results of the same one.

        Raises:
            InputError: The folder holds another study, or files that are no study's.
        """
        earlier = self.recorded()
        if earlier is None and self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path}: not empty and no study's results: give another folder with --results")
        if earlier is not None and (fields := differing(earlier, study)):
            raise InputError(
                f"{self.path}: holds another study: {_listed(fields)}; change the study's name or --results, or move "
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
        """Delete what only a running study needs."""
        for folder in (self.tune, self.train):
            shutil.rmtree(folder, ignore_errors=True)


def differing(earlier: dict[str, Any], study: StudyConfig) -> dict[str, tuple[Any, Any]]:
    """The fields that decide trials or their figures and are not the same, with both values, by dotted name."""
    now = _flat(yaml.safe_load(dump(study)))
    names = [name for name in {**earlier, **now} if name not in FREE_FIELDS]
    return {name: (earlier.get(name), now.get(name)) for name in names if earlier.get(name) != now.get(name)}


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _listed(fields: dict[str, tuple[Any, Any]], most: int = 3) -> str:
    said = [f"{name} is {there!r} there and {here!r} here" for name, (there, here) in list(fields.items())[:most]]
    more = len(fields) - len(said)
    return ", ".join(said) + (f" (and {more} more)" if more else "")
