"""The seam between what a study does and what runs its trials."""

from __future__ import annotations

from typing import Any, Protocol

from ray.tune.schedulers import TrialScheduler

from simclip.study.execution.recorder import Recorder
from simclip.study.search.searcher import StageSearcher


class Executor(Protocol):
    """Runs the trials of one stage after the other, and reports them to the recorder."""

    @property
    def concurrency(self) -> int:
        """Maximum number of trials at a time."""

    @property
    def hardware(self) -> dict[str, Any]:
        """What the trials run on, for results.json."""

    def run_stage(self, searcher: StageSearcher, recorder: Recorder, scheduler: TrialScheduler | None) -> None:
        """Run the trials that a searcher suggests until it has no more, or until the recorder halts the study.

        A trial writes its checkpoints to `StudyFolder.tune`, one folder per attempt, and its log to `StudyFolder.logs`.

        Args:
            searcher: Asked for every trial, and told of every result and end, as Ray Tune does it.
            recorder: Told when a trial starts, after each of its epochs, and when it has finished, failed or was lost.
            scheduler: Stops trials early; None lets every trial finish.

        Raises:
            LostError: The machines that the trials run on were lost.
            KeyboardInterrupt: The user interrupted the study.
        """
