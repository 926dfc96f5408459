"""Where things lie in a study's results, and whose results they are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.errors import InputError
from simclip.runtime.files import write_atomically
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.single_run import SingleRun
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.study_file import dump
from simclip.study.store.bucket import Bucket, Mirror
from simclip.study.store.compatibility import flat, listed, refused_changes
from simclip.study.store.records import Record, read_all
from simclip.study.store.storage import LOGS, Disk, Storage, is_uri

#: Between a trial's name and Tune's id of the attempt, in the name of Tune's folder. Without an id Tune would add one
#: itself as soon as a trial whose process was lost begins a second time.
ATTEMPT = "@"


@dataclass(frozen=True)
class StudyFolder:
    """The results of one study.

    Attributes:
        path: Where this process reads and writes their small files: the results themselves, or the mirror's folder.
        mirror: Of results that lie in a bucket; their models and checkpoints are not in the path.
    """

    path: Path
    mirror: Mirror | None = None

    @classmethod
    def at(cls, place: str | Path) -> StudyFolder:
        """The results in a folder or at a URI, as far as there are any.

        Raises:
            InputError: Nobody can be reached there, or the package that knows such URIs is missing.
        """
        if not is_uri(place):
            return cls(Path(place).absolute())
        mirror = Mirror(Bucket(str(place).rstrip("/")))
        mirror.pull()
        return cls(mirror.path, mirror)

    def inside(self, name: str) -> StudyFolder:
        """Results that lie within these."""
        return StudyFolder.at(self.place(name))

    @property
    def storage(self) -> Storage:
        """Where all of the results lie."""
        return self.mirror.bucket if self.mirror else Disk(str(self.path))

    def place(self, *names: str) -> str:
        """What a person, or a command, calls the results, or something in them."""
        return "/".join([str(self.storage), *names])

    def push(self) -> None:
        """Send what has changed in the path to where the results lie, if that is elsewhere."""
        if self.mirror:
            self.mirror.push()

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
        return self.path / LOGS

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
        return flat(read_mapping(self.file)) if self.file.exists() else None

    def study(self) -> StudyConfig:
        """The study that these results are of.

        Raises:
            InputError: The folder holds no study's results.
        """
        if not self.file.is_file():
            raise InputError(f"no such file: {self.place(self.file.name)}; give the results folder of a study")
        content = read_mapping(self.file)
        schema = SingleRun if "arm" in content else StudyConfig
        try:
            return schema.model_validate(content)
        except ValidationError as error:
            raise explain(error, self.place(self.file.name), schema) from None

    def claim(self, study: StudyConfig) -> None:
        """Write the study file of a new study; go on with results of the same one, or one that this one extends.

        Raises:
            InputError: The folder holds another study, or files that are no study's.
        """
        if self.mirror:
            self.mirror.pull()  # what another driver has written since
        earlier = self.recorded()
        if earlier is None and any(self.path.glob("[!.]*")):
            raise InputError(f"{self.place()}: not empty and no study's results: give another folder with --results")
        if earlier is not None and (fields := refused_changes(earlier, study, read_all(self.trials))):
            raise InputError(
                f"{self.place()}: holds another study: {listed(fields)}; change the study's name or --results, or move "
                "the earlier results aside with --fresh"
            )
        write_atomically(self.file, dump(study))
        self.push()

    def move_aside(self) -> str | None:
        """Rename the results, keeping all that is in them; their new place, None where there is nothing to move."""
        last = self.place().rpartition("/")[2]
        aside = self.storage.move_aside(f"{last}-until-{time.strftime('%Y%m%d-%H%M%S')}")
        if self.mirror:
            self.mirror.pull()
        return aside

    def write(self, record: Record) -> None:
        """Put a trial on record, where the results lie too."""
        record.write(self.trials)
        self.push()

    def log(self, trial: str, text: str) -> None:
        """Add to a trial's log."""
        key = f"{LOGS}/{trial}.log"
        with tempfile.TemporaryDirectory() as scratch:
            path = self.storage.fetch(key, Path(scratch))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as log:
                log.write(text)
            self.storage.send(path, key)

    def drop_scratch(self) -> None:
        """Delete what only a running study needs, once the checkpoints of unfinished trials are in safety."""
        for trial in {name.rpartition(ATTEMPT)[0] for name in self.storage.folders("tune")}:
            self.rescue(trial)
        for key in ("tune", "train"):
            self.storage.delete(key)

    def rescue(self, trial: str) -> Path | None:
        """Move a trial's newest whole checkpoint to where it goes on from; the key of that, if there is one now."""
        storage, kept = self.storage, f"unfinished/{trial}"
        best = storage.finished_epochs(kept)
        for attempt in self._attempts(trial):
            for name in storage.folders(attempt):
                epochs = storage.finished_epochs(f"{attempt}/{name}") if name.startswith("checkpoint_") else None
                if epochs is not None and (best is None or epochs > best):
                    storage.move(f"{attempt}/{name}", kept)
                    best = epochs
            storage.delete(attempt)
        return None if best is None else Path(kept)

    def forget(self, trial: str) -> None:
        """Delete what a trial needed to go on, once its end is on record."""
        for key in (*self._attempts(trial), f"unfinished/{trial}"):
            self.storage.delete(key)

    def _attempts(self, trial: str) -> list[str]:
        """The keys of Tune's folders of a trial."""
        return [f"tune/{name}" for name in self.storage.folders("tune") if name.rpartition(ATTEMPT)[0] == trial]

    def checkpoints(self, trials: Iterable[str]) -> dict[str, Path]:
        """The keys of the checkpoints that trials resume from, by trial name."""
        keys = {trial: f"unfinished/{trial}" for trial in trials}
        return {name: Path(key) for name, key in keys.items() if self.storage.finished_epochs(key) is not None}
