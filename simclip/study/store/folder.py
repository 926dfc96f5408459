"""StudyFolder: the results of one study, in a folder or in a bucket."""

from __future__ import annotations

import logging
import shlex
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.runtime.files import write_atomically
from simclip.study.spec.overrides import read_mapping
from simclip.study.spec.single_run import SingleRun
from simclip.study.spec.study import StudyConfig
from simclip.study.store import layout
from simclip.study.store.bucket import Bucket, Mirror
from simclip.study.store.compatibility import described, flat, refused_changes
from simclip.study.store.look_log import read_looks, refused_looks, write_plan
from simclip.study.store.records import Record, read_all
from simclip.study.store.storage import Disk, Storage
from simclip.study.store.study_file import dump

log = logging.getLogger("simclip")

#: Separates a trial's name from Tune's id of the attempt, in the name of Tune's folder. Without an id, Tune would add
#: one of its own when a trial starts again after its process was lost.
ATTEMPT = "@"


@dataclass(frozen=True)
class StudyFolder:
    """The results of one study.

    Attributes:
        path: Folder in which this process reads and writes the small files: the results themselves, or their mirror.
        mirror: The local copy of the small files, if the results are in a bucket. Models and checkpoints are not in it.
    """

    path: Path
    mirror: Mirror | None = None

    @classmethod
    def at(cls, place: str | Path) -> StudyFolder:
        """The results in a folder or at a URI, whether or not there are any yet.

        Raises:
            InputError: The bucket cannot be reached, or the package for its kind of URI is missing.
        """
        if not is_uri(place):
            return cls(Path(place).absolute())
        mirror = Mirror(Bucket(str(place).rstrip("/")))
        mirror.pull()
        return cls(mirror.path, mirror)

    def inside(self, name: str) -> StudyFolder:
        """Results in a subfolder of these."""
        return StudyFolder.at(self.place(name))

    @property
    def storage(self) -> Storage:
        """The storage that holds all of the results."""
        return self.mirror.bucket if self.mirror else Disk(str(self.path))

    def place(self, *names: str) -> str:
        """The path or URI of the results, or of something in them, for messages and commands."""
        return "/".join([str(self.storage), *names])

    @property
    def file(self) -> Path:
        """The study file."""
        return self.path / layout.STUDY

    @property
    def trials(self) -> Path:
        """The folder of the trials' records."""
        return self.path / layout.TRIALS

    @property
    def looks(self) -> Path:
        """The log of the confirm stage's plan and looks."""
        return self.path / layout.LOOKS

    @property
    def logs(self) -> Path:
        """The folder of the trials' logs."""
        return self.path / layout.LOGS

    def recorded(self) -> dict[str, Any] | None:
        """The fields of the study that these results are of, by dotted name; None if there are no results yet."""
        return flat(read_mapping(self.file)) if self.file.exists() else None

    def study(self) -> StudyConfig:
        """Read the study that these results are of.

        Raises:
            InputError: The folder holds no study's results, or its study file is wrong.
        """
        where = self.place(layout.STUDY)
        if not self.file.is_file():
            raise InputError(f"no such file: {where}; give the results folder of a study")
        content = read_mapping(self.file)
        schema = SingleRun if "arm" in content else StudyConfig
        try:
            return schema.model_validate(content)
        except ValidationError as error:
            raise explain(error, where, schema) from None

    def claim(self, study: StudyConfig) -> None:
        """Write the study file of a new study, or of one that continues or extends the study of these results.

        Raises:
            InputError: The folder holds another study's results, or files that are no study's results.
        """
        if self.mirror:
            self.mirror.pull()  # another driver may have written results since
        self.check_claim(study)
        if self.recorded() is not None and any(each.stage == "confirm" for each in read_all(self.trials).values()):
            write_plan(self.looks, self.study())  # as it was planned, in results of a version that kept no plan
        write_atomically(self.file, dump(study))
        self.push()

    def check_claim(self, study: StudyConfig) -> None:
        """Refuse a study that neither continues nor extends the study of these results.

        Raises:
            InputError: The folder holds another study's results, or files that are no study's results.
        """
        earlier = self.recorded()
        if earlier is None and any(self.path.glob("[!.]*")):
            raise InputError(f"{self.place()}: not empty and no study's results: give another folder with --results")
        if earlier is None:
            return
        begun = read_all(self.trials)
        if why := refused_looks(study, read_looks(self.looks), begun):
            raise InputError(f"{self.place()}: {why}")
        if fields := refused_changes(earlier, study, begun):
            raise InputError(
                f"{self.place()}: holds another study: {described(fields)}; change the study's name or --results, or "
                f"move the earlier results aside with --fresh{self._ranked(fields, study)}"
            )

    def _ranked(self, fields: Mapping[str, Any], study: StudyConfig) -> str:
        """How to rank the results by another metric, if that is all that differs."""
        if not isinstance(study.metric, str) or not {*fields} <= {"metric", "mode"}:
            return ""
        words = ["python", "tune.py", "report", self.place(), f"metric={study.metric}"]
        return f"; to rank them by it without training: {shlex.join(words)}"

    def push(self) -> None:
        """Send the small files that have changed to the bucket, if the results are in one."""
        if self.mirror:
            self.mirror.push()

    def move_aside(self) -> str | None:
        """Rename the results, keeping everything in them.

        Returns:
            Their new path or URI; None if there are no results.
        """
        last = self.place().rpartition("/")[2]
        aside = self.storage.move_aside(f"{last}-until-{time.strftime('%Y%m%d-%H%M%S')}")
        if self.mirror:
            self.mirror.pull()
        return aside

    def write(self, record: Record) -> None:
        """Write a trial's record, to the bucket too if the results are in one."""
        record.write(self.trials)
        if self.mirror and record.outcome and record.stage == "confirm":
            self.mirror.bucket.fetch(f"{layout.TRIALS}/{record.trial}{layout.ITEMS}", self.path)  # the trial sent it
        self.push()

    def log(self, trial: str, text: str) -> None:
        """Append to a trial's log."""
        key = f"{layout.LOGS}/{trial}.log"
        with tempfile.TemporaryDirectory() as scratch:
            path = self.storage.fetch(key, Path(scratch))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as log:
                log.write(text)
            self.storage.send(path, key)

    def delete_scratch(self) -> None:
        """Delete what only a running study needs, after saving the checkpoints of unfinished trials."""
        for trial in {name.rpartition(ATTEMPT)[0] for name in self.storage.folders(layout.TUNE)}:
            self.salvage_checkpoint(trial)
        for key in (layout.TUNE, layout.TRAIN):
            self.storage.delete(key)

    def salvage_checkpoint(self, trial: str) -> Path | None:
        """Keep a trial's newest complete checkpoint, and delete Tune's folders of the trial.

        Returns:
            The key of the checkpoint that the trial resumes from; None if there is none.
        """
        storage, kept = self.storage, _unfinished(trial)
        best = storage.finished_epochs(kept)
        for attempt in self._attempts(trial):
            for name in storage.folders(attempt):
                epochs = storage.finished_epochs(f"{attempt}/{name}")
                if epochs is not None and (best is None or epochs > best):
                    storage.move(f"{attempt}/{name}", kept)
                    best = epochs
            storage.delete(attempt)
        return None if best is None else Path(kept)

    def best_model(self, trial: str) -> str | None:
        """The key of the model of a trial's best epoch, in its newest checkpoint; None if it has none."""
        storage = self.storage
        written = [f"{attempt}/{name}" for attempt in self._attempts(trial) for name in storage.folders(attempt)]
        newest_first = [*sorted(written, key=lambda key: key.rpartition("/")[2], reverse=True), _unfinished(trial)]
        return next((f"{key}/best" for key in newest_first if "best" in storage.folders(key)), None)

    def discard_checkpoints(self, trial: str) -> None:
        """Delete the checkpoints of a trial whose end is on record."""
        for key in (*self._attempts(trial), _unfinished(trial)):
            self.storage.delete(key)
        if not self.storage.folders(layout.UNFINISHED):
            self.storage.delete(layout.UNFINISHED)

    def checkpoints(self, trials: Iterable[str]) -> dict[str, Path]:
        """The keys of the checkpoints that trials resume from, by trial name."""
        keys = {trial: _unfinished(trial) for trial in trials}
        whole = {trial: Path(key) for trial, key in keys.items() if self.storage.finished_epochs(key) is not None}
        for trial in self.storage.folders(layout.UNFINISHED):
            if trial in keys and trial not in whole:
                log.warning("%s: damaged; the trial starts again", self.place(_unfinished(trial)))
        return whole

    def _attempts(self, trial: str) -> list[str]:
        """The keys of Tune's folders of a trial, one per attempt."""
        names = self.storage.folders(layout.TUNE)
        return [f"{layout.TUNE}/{name}" for name in names if name.rpartition(ATTEMPT)[0] == trial]


def _unfinished(trial: str) -> str:
    return f"{layout.UNFINISHED}/{trial}"
