"""A study's figures for Prometheus, by way of Ray's own metrics endpoint on the driver's node.

Ray puts its own name before each of them: ray_simclip_pairs_per_second{study="demo", trial="k4-p0.5-fixed-s1"}.
"""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Gauge

from simclip.study.execution.events import Listener
from simclip.study.spec.arms import Trial
from simclip.study.spec.study import StudyConfig
from simclip.study.store.records import Record
from simclip.train.history import Row


class Metrics(Listener):
    """Sets a gauge for each figure, per study or per running trial; needs a connected Ray.

    Args:
        study: The study.
        ended: Records of trials that ended in earlier runs.
    """

    def __init__(self, study: StudyConfig, ended: Mapping[str, Record]) -> None:
        self._of = {"study": study.name}
        self._best_of = max if study.mode == "max" else min
        self._outcomes: dict[str, str | None] = {name: record.outcome for name, record in ended.items()}
        self._scores = {name: record.score for name, record in ended.items() if record.score is not None}
        per_study, per_trial = ("study",), ("study", "trial")
        self._speed = Gauge("simclip_pairs_per_second", "Training pairs per second, of the last epoch", per_trial)
        self._waits = Gauge("simclip_data_wait_share", "Share of the last epoch spent waiting for data", per_trial)
        self._epoch = Gauge("simclip_epoch", "Trained epochs", per_trial)
        self._best = Gauge("simclip_best_so_far", "Best objective of any trial after any epoch", per_study)
        self._ended = {
            outcome: Gauge(f"simclip_trials_{outcome}", f"Trials that {said}", per_study)
            for outcome, said in (("finished", "finished"), ("stopped", "were stopped early"), ("failed", "failed"))
        }
        self._tell_study()

    def epoch_ended(self, trial: Trial, row: Row) -> None:
        """The trial's pace, and the best so far."""
        if row["epoch"] == 0:
            return  # the untouched model
        self._tell_trial(trial, row["pairs_per_second"], row["share/data"], row["epoch"])
        self._scores[trial.name] = self._best_of(row["metric"], self._scores.get(trial.name, row["metric"]))
        self._tell_study()

    def trial_ended(self, trial: Trial, record: Record) -> None:
        """It has no pace any more; a failed trial's scores are none."""
        self._outcomes[trial.name] = record.outcome
        self._scores.pop(trial.name, None)
        if record.score is not None and record.outcome != "failed":
            self._scores[trial.name] = record.score
        self._tell_trial(trial, 0, 0, record.history[-1]["epoch"] if record.history else 0)
        self._tell_study()

    def _tell_trial(self, trial: Trial, pairs_per_second: float, data_wait: float, epoch: int) -> None:
        tags = {**self._of, "trial": trial.name}
        self._speed.set(pairs_per_second, tags)
        self._waits.set(data_wait, tags)
        self._epoch.set(epoch, tags)

    def _tell_study(self) -> None:
        if self._scores:
            self._best.set(self._best_of(self._scores.values()), self._of)
        for outcome, gauge in self._ended.items():
            gauge.set(list(self._outcomes.values()).count(outcome), self._of)
